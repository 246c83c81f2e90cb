"""The rows of neurons of a label file that somebody else made: held against their rules, and copied.

A row that has no value where there must be one is wrong, too, so those rows are counted that are not known to be right.
Works on a connection to the file; writes only shards.
"""

from pathlib import Path

import pyarrow.parquet as pq
import sqlalchemy as sa

from neuronym.label_tables import metadata
from worker.errors import ForeignFileError
from worker.labelfile.foreign_model import ForeignModel
from worker.labelfile.foreign_rules import TableRules
from worker.labelfile.foreign_texts import count_rows

_AT_ONCE = 4_096  # rows of a batch


def check_rows(connection: sa.Connection, table: str, rules: TableRules) -> int:
    """Check all rows of a table of a file that is open by `read_foreign_file`; return their number.

    Raises:
        ForeignFileError: it has too many rows, a neuron twice, or a row that breaks a rule.
    """
    rows = count_rows(connection, table)
    if rows > rules.most:
        raise ForeignFileError(f"its table {table!r} has {rows:,} rows where its model can have {rules.most:,}")
    for what, rule in rules.rules.items():
        if count := connection.scalar(
            sa.text(f"SELECT count(*) FILTER (WHERE ({rule}) IS NOT TRUE) FROM file.{table}")
        ):
            raise ForeignFileError(f"its table {table!r} has {what} ({count:,} of {rows:,} rows)")
    different = connection.scalar(sa.text(f"SELECT count(DISTINCT ({', '.join(rules.key)})) FROM file.{table}"))
    if different != rows:
        raise ForeignFileError(f"its table {table!r} has {rows:,} rows of {different:,} different places")
    return rows


def check_tokens(connection: sa.Connection, model: ForeignModel) -> None:
    """Check that the vocabulary has all tokens of labels and effects, also where its ids have gaps.

    Raises:
        ForeignFileError: it has not.
    """
    named = connection.scalars(
        sa.text("""
            SELECT unnest(top_ids) FROM file.label UNION SELECT unnest(bottom_ids) FROM file.label
            UNION SELECT unnest(tokens) FROM file.effect""")
    )
    unknown = set(named) - {-1, *model.vocabulary.ids}
    if unknown:
        raise ForeignFileError(
            f"its table 'label' or 'effect' has a token that is not in its vocabulary ({min(unknown)})"
        )


def copy_rows(connection: sa.Connection, statement: str, shard: Path) -> None:
    """Write what a statement on the file selects as a shard, batch by batch."""
    reader = connection.connection.driver_connection.execute(statement).to_arrow_reader(_AT_ONCE)  # type: ignore[union-attr]
    with pq.ParquetWriter(shard, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def table_statement(table: str) -> str:
    """SQL of the rows of a table of the file, in the columns that a label file has."""
    return f"SELECT {', '.join(metadata.tables[table].columns.keys())} FROM file.{table}"
