"""Search rows are the same whatever number is sorted at a time; DuckDB's memory follows their number."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.reading import rows
from worker.labelfile.build import LEAST_MEMORY, limit_memory
from worker.labelfile.derived import THRESHOLDS
from worker.labelfile.search_rows import insert_search_rows


@pytest.mark.parametrize("at_once", [1, 700, 10**9])
def test_rows_are_the_same_however_many_are_sorted_at_once(at_once: int, data_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "current"
    shutil.copy(data_folder / "current", copy)
    engine = sa.create_engine(f"duckdb:///{copy}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(THRESHOLDS.replace(":", r"\:")))
        connection.execute(sa.text("DELETE FROM label_by_token"))
        insert_search_rows(connection, at_once)
    engine.dispose()
    everything = "SELECT * FROM label_by_token"
    assert rows(tmp_path, everything) == rows(data_folder, everything)


def test_memory_grows_with_the_rows_up_to_the_setting() -> None:
    engine = sa.create_engine("duckdb:///:memory:")
    with engine.connect() as connection:

        def limit() -> str:
            return str(connection.scalar(sa.text("SELECT current_setting('memory_limit')")))

        few = limit_memory(connection, most=2_000_000_000, search_rows=1000)
        assert limit() == "228.8 MiB"
        assert few * 100 <= LEAST_MEMORY
        some = limit_memory(connection, most=2_000_000_000, search_rows=50_000_000)  # 14 bytes each
        assert limit() == "667.5 MiB"
        assert some > few
        assert limit_memory(connection, most=200_000_000, search_rows=50_000_000) < few
        assert limit() == "190.7 MiB"
    engine.dispose()
