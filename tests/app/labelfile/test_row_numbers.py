"""Row numbers: every label of a file is found at the row that holds it, and no other is."""

from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from app.labelfile.deadline import Deadline
from app.labelfile.library import Library, NoLabelFile
from app.labelfile.row_numbers import RowNumbers, UnsortedTable
from neuronym.contract import Lens, View
from neuronym.label_tables import HEADER, MAGIC, RECORD, counterparts_file, drift, label
from neuronym.library import FileKind
from tests.app.label_files import planted_file, write_library

FILES: list[tuple[FileKind, str, sa.Table]] = [("model", "tiny-chat", label), ("pair", "tiny-later", drift)]


def table_of(labels: Library, kind: FileKind, name: str) -> sa.Table:
    """The table of FILES of an open library."""
    return labels.tables(name).label if kind == "model" else labels.pair_tables(labels.holdings.pairs[name]).drift


@pytest.mark.parametrize("kind, name, table", FILES)
def test_each_row_is_found_by_its_label_also_where_neurons_are_missing(
    tmp_path: Path, kind: FileKind, name: str, table: sa.Table
) -> None:
    catalogue = write_library(tmp_path)
    with duckdb.connect(planted_file(tmp_path, name, kind)) as connection:
        connection.execute(f"create table kept as from {table.name} where not (layer = 1 and neuron = 2)")
        connection.execute(f"drop table {table.name}")
        connection.execute(f"alter table kept rename to {table.name}")
        rows = connection.execute(f"select rowid, view, lens, layer, expert, neuron from {table.name}").fetchall()
    if kind == "pair":
        empty = HEADER.pack(MAGIC, len(rows)) + bytes(len(rows) * RECORD.size)
        counterparts_file(planted_file(tmp_path, name, kind)).write_bytes(empty)
    labels = Library(tmp_path, catalogue, 10**9, Deadline(60))
    numbers = labels.row_numbers(table_of(labels, kind, name))
    labels.close()
    assert len(rows) > 50
    for row, view, lens, layer, expert, neuron in rows:
        block = list(View)[view], list(Lens)[lens], layer, expert
        assert numbers.find(block, neuron) == row
        assert numbers.find((*block[:2], 1, None), 2) is None


def test_a_neuron_beside_the_runs_has_no_row() -> None:
    block = View.up, Lens.cosine, 3, None
    numbers = RowNumbers([(*block, 10, 0, 4, 5), (*block, 9, 6, 7, 2)])
    found = [numbers.find(block, neuron) for neuron in range(-1, 9)]
    assert found == [None, 10, 11, 12, 13, 14, None, 15, 16, None]
    assert numbers.find((*block[:3], 1), 0) is None


@pytest.mark.parametrize("kind, name, table", FILES)
def test_two_rows_that_were_swapped_are_not_taken_for_each_other(
    tmp_path: Path, kind: FileKind, name: str, table: sa.Table
) -> None:
    catalogue = write_library(tmp_path)
    with duckdb.connect(planted_file(tmp_path, name, kind)) as connection:
        swapped = "if(neuron = 2, if(layer = 0, 1, if(layer = 1, 0, layer)), layer)"
        connection.execute(f"create table shuffled as from {table.name} order by view, lens, {swapped}, neuron")
        connection.execute(f"drop table {table.name}")
        connection.execute(f"alter table shuffled rename to {table.name}")
    labels = Library(tmp_path, catalogue, 10**9, Deadline(60))
    with pytest.raises(NoLabelFile, match="was changed after it was written"):
        labels.row_numbers(table_of(labels, kind, name))
    labels.close()


def test_a_run_with_a_hole_is_refused() -> None:
    with pytest.raises(UnsortedTable):
        RowNumbers([(View.up, Lens.cosine, 3, None, 10, 0, 4, 4)])
