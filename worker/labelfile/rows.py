"""Rows that come into a label file from elsewhere, from shards or from another file, in the order of their table.

Works on an open connection. Knows tables only.
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from neuronym.label_tables import metadata
from worker.labelfile.label_file import quoted

SORTED_BY = {
    "token": ("id",),
    "label": ("view", "lens", "layer", "expert", "neuron"),
    "neighbour": ("view", "layer", "expert", "neuron"),
    "activity": ("site", "layer", "expert", "neuron"),
    "effect": ("site", "direction", "layer", "expert", "neuron"),
}


def shard_rows(shards: Sequence[Path]) -> str:
    """SQL of the rows of shards."""
    listed = ", ".join(map(quoted, shards))
    # a folder `a=b` on the way to them is no column
    return f"SELECT * FROM read_parquet([{listed}], hive_partitioning = false)"


def token_rows_with_place(rows: str) -> str:
    """SQL of rows of the table `token` with the place of each in alphabetical order, in place of any they have."""
    columns = "id, text, folded, kind"
    place = "row_number() OVER (ORDER BY folded, id) - 1 AS place"
    return f"SELECT {columns}, {place} FROM (SELECT {columns} FROM ({rows}))"


def insert_rows(connection: sa.Connection, table: str, rows: str) -> None:
    """Insert the rows that the SQL `rows` selects, in the columns that the table has too."""
    described = connection.scalars(sa.text(f"SELECT column_name FROM (DESCRIBE {rows})"))
    columns = ", ".join(name for name in described if name in metadata.tables[table].c)
    order = ", ".join(name for name in SORTED_BY[table] if name in columns.split(", "))
    connection.execute(sa.text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ({rows}) ORDER BY {order}"))
