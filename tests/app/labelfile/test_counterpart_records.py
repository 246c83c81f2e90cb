"""The counterparts file of a pair: record for record what the table `drift` says; without it the pair is left out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.labelfile.catalog import Catalog
from app.labelfile.counterpart_records import CounterpartRecords
from neuronym.contract import Role
from neuronym.label_tables import counterparts_file
from neuronym.library import label_file, read_catalogue
from neuronym.settings import Settings
from tests.app.label_files import planted_file, write_library
from tests.app.pair_files import PairFile


def test_each_record_is_a_row_of_the_table(pairs: PairFile) -> None:
    """As the worker wrote them of two real mappings, the first of which has a near tie."""
    for place, entry in enumerate(read_catalogue(pairs.data).pairs):
        tokens = ", ".join(f"[{', '.join(f'{side}_{rank}' for rank in range(5))}]" for side in ("base", "instruct"))
        rows = pairs.rows(f"SELECT cosine, same_top, near_tie, {tokens} FROM drift WHERE pair = {place}")
        records = CounterpartRecords(counterparts_file(label_file(pairs.data, "pair", entry)), len(rows))
        for number, (cosine, same_top, near_tie, base, instruct) in enumerate(rows):
            record = records.read(number)
            assert (record.cosine, record.same_top, record.near_tie) == (cosine, same_top, near_tie)
            assert record.tokens == {Role.base: base, Role.instruct: instruct}
        assert {near_tie for _, _, near_tie, _, _ in rows} >= ({True, False} if place == 0 else {False})


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _of_another_format(path: Path) -> None:
    path.write_bytes(b"NRNMCP99" + path.read_bytes()[8:])


def _of_another_pair(path: Path) -> None:
    """With as many records as it says, and not as many as the table has."""
    content = path.read_bytes()
    path.write_bytes(content[:8] + (1).to_bytes(8, "little") + content[16 : 16 + 48])


@pytest.mark.parametrize("harm", [_remove, _empty, _cut_short, _of_another_format, _of_another_pair])
def test_a_pair_without_its_counterparts_is_left_out(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    write_library(tmp_path)
    harm(counterparts_file(planted_file(tmp_path, "tiny-pair", "pair")))
    catalog = Catalog(Settings(data=tmp_path))
    try:
        assert list(catalog.current().holdings.pairs) == ["tiny-later"]
        assert "Map the pair again" in catalog.current().unreadable["pair", "tiny-pair"]
    finally:
        catalog.close()
