"""Search rows are the same whatever number is sorted at a time; DuckDB's memory follows their number."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from neuronym.library import read_catalogue
from tests.reading import rows
from worker.labelfile.label_file import LEAST_MEMORY, NewFile
from worker.labelfile.search_rows import insert_search_rows
from worker.library.current import current_file

EVERYTHING = "SELECT * FROM label_by_token"


@pytest.mark.parametrize("at_once", [120, 700, 10**9])
def test_rows_are_the_same_however_many_are_sorted_at_once(at_once: int, data_folder: Path) -> None:
    assert read_catalogue(data_folder).models[0].name == "tiny"
    engine = sa.create_engine("duckdb:///:memory:")
    with engine.connect() as connection:
        connection.execute(sa.text(f"ATTACH '{current_file(data_folder, 'model', 'tiny')}' AS tiny (READ_ONLY)"))
        for table in ("token", "label", "measurement", "effect", "label_by_token"):
            nothing = " WHERE false" if table == "label_by_token" else ""
            connection.execute(sa.text(f"CREATE TABLE {table} AS SELECT * FROM tiny.{table}{nothing}"))
        insert_search_rows(connection, at_once)
        again = [(0, *row) for row in connection.execute(sa.text(EVERYTHING))]  # 0: the model's place in the library
    engine.dispose()
    assert again == rows(data_folder, EVERYTHING)


def test_memory_grows_with_the_rows_up_to_the_setting() -> None:
    engine = sa.create_engine("duckdb:///:memory:")
    with engine.connect() as connection:

        def limit() -> str:
            return str(connection.scalar(sa.text("SELECT current_setting('memory_limit')")))

        new = NewFile(connection, 2_000_000_000)
        few = new.limit_memory(1000)
        assert limit() == "228.8 MiB"
        assert few * 100 <= LEAST_MEMORY
        some = new.limit_memory(50_000_000)  # 14 bytes each
        assert limit() == "667.5 MiB"
        assert some > few
        assert NewFile(connection, 200_000_000).limit_memory(50_000_000) < few
        assert limit() == "190.7 MiB"
    engine.dispose()
