"""The row numbers of labels in a table that is sorted by them, so that a few labels are read without a search.

DuckDB has no index here: to find fifty labels by their address it reads the address of every label. Neurons that
follow each other stand in rows that follow each other, so a number for each layer, view and lens says where all its
rows are. Independent of what the rows hold.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from neuronym.contract import Lens, View

Block = tuple[View, Lens, int, int | None]  # a view, a lens, a layer and an expert


class UnsortedTable(ValueError):
    """The rows of a table do not stand in the order in which they were written."""


class RowNumbers:
    """The row numbers of one table.

    Raises:
        UnsortedTable: rows of one block have others between them, and would be taken for them.
    """

    def __init__(self, runs: Iterable[tuple[View, Lens, int, int | None, int, int, int, int]]) -> None:
        """`runs` are a block with (start, first, last, count): neuron n from `first` to `last` is in row start + n."""
        self._runs: dict[Block, list[tuple[int, int, int]]] = defaultdict(list)
        for view, lens, layer, expert, start, first, last, count in runs:
            if count != last - first + 1:
                raise UnsortedTable
            self._runs[view, lens, layer, expert].append((start, first, last))

    def find(self, block: Block, neuron: int) -> int | None:
        """The row of a neuron's label; None where the table has none."""
        runs = self._runs.get(block, ())
        return next((start + neuron for start, first, last in runs if first <= neuron <= last), None)


def select_runs(table: sa.Table) -> sa.Select[Any]:
    """Select the runs of a table whose first columns are the block and the neuron, by which it is sorted."""
    *block, neuron = list(table.c)[:5]
    start = _number(table) - neuron
    first, last = sa.func.min(neuron), sa.func.max(neuron)
    return sa.select(*block, start, first, last, sa.func.count()).group_by(*block, start)


def _number(table: sa.Table) -> sa.ColumnClause[int]:
    """DuckDB's own column of row numbers, which count from 0."""
    return sa.literal_column(f"{table.fullname}.rowid", sa.BigInteger)
