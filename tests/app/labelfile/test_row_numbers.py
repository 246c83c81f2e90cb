"""Row numbers: every label of a file is found at the row that holds it, and no other is."""

from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa

from app.labelfile.deadline import Deadline
from app.labelfile.label_file import LabelFile, NoLabelFile
from app.labelfile.row_numbers import RowNumbers, UnsortedTable
from neuronym.contract import Lens, View
from neuronym.label_tables import drift, label
from tests.app.label_files import write_label_file


@pytest.mark.parametrize("table", [label, drift], ids=str)
def test_each_row_is_found_by_its_label_also_where_neurons_are_missing(tmp_path: Path, table: sa.Table) -> None:
    path = write_label_file(tmp_path)
    owner = next(iter(table.c)).name
    with duckdb.connect(path) as connection:
        connection.execute(f"create table kept as from {table.name} where not (layer = 1 and neuron = 2)")
        connection.execute(f"drop table {table.name}")
        connection.execute(f"alter table kept rename to {table.name}")
        rows = connection.execute(f"select rowid, {owner}, view, lens, layer, neuron from {table.name}").fetchall()
    labels = LabelFile(path, 10**9, Deadline(60))
    numbers = labels.row_numbers(table)
    labels.close()
    assert len(rows) > 50
    for row, owner_id, view, lens, layer, neuron in rows:
        block = owner_id, list(View)[view], list(Lens)[lens], layer
        assert numbers.find(block, neuron) == row
        assert numbers.find((*block[:3], 1), 2) is None


def test_a_neuron_beside_the_runs_has_no_row() -> None:
    block = 0, View.up, Lens.cosine, 3
    numbers = RowNumbers([(*block, 10, 0, 4, 5), (*block, 9, 6, 7, 2)])
    found = [numbers.find(block, neuron) for neuron in range(-1, 9)]
    assert found == [None, 10, 11, 12, 13, 14, None, 15, 16, None]
    assert numbers.find((1, *block[1:]), 0) is None


@pytest.mark.parametrize("table", [label, drift], ids=str)
def test_two_rows_that_were_swapped_are_not_taken_for_each_other(tmp_path: Path, table: sa.Table) -> None:
    path = write_label_file(tmp_path)
    with duckdb.connect(path) as connection:
        swapped = "if(neuron = 2, if(layer = 0, 1, if(layer = 1, 0, layer)), layer)"
        order = f"{next(iter(table.c)).name}, view, lens, {swapped}, neuron"
        connection.execute(f"create table shuffled as from {table.name} order by {order}")
        connection.execute(f"drop table {table.name}")
        connection.execute(f"alter table shuffled rename to {table.name}")
    labels = LabelFile(path, 10**9, Deadline(60))
    with pytest.raises(NoLabelFile, match="was changed after it was written"):
        labels.row_numbers(table)
    labels.close()


def test_a_run_with_a_hole_is_refused() -> None:
    with pytest.raises(UnsortedTable):
        RowNumbers([(0, View.up, Lens.cosine, 3, 10, 0, 4, 4)])
