"""Reading a library in a test, beside whatever else has its files open."""

from pathlib import Path
from typing import Any

import duckdb

from neuronym.label_tables import metadata
from neuronym.library import KINDS, FileKind, label_file, read_catalogue

OF_PAIRS = {"pair", "drift", "agreement", "concept"}


def rows(data: Path, statement: str) -> list[tuple[Any, ...]]:
    """Rows of all current files: each table begins with the place of its file, `model` or `pair`, in the catalogue.

    In the tables `model` and `pair` themselves that is `id`.
    """
    with duckdb.connect() as connection:
        attached = {kind: _attach(connection, data, kind) for kind in KINDS}
        for table in metadata.tables:
            kind = KINDS[table in OF_PAIRS]
            column = "id" if table == kind else kind
            parts = [f"SELECT {place}::SMALLINT AS {column}, * FROM {alias}.{table}" for place, alias in attached[kind]]
            if parts:
                connection.execute(f"CREATE VIEW {table} AS {' UNION ALL '.join(parts)}")
        return connection.execute(statement).fetchall()


def _attach(connection: duckdb.DuckDBPyConnection, data: Path, kind: FileKind) -> list[tuple[int, str]]:
    """Attach the current files of a kind; give the place and the alias of each."""
    attached = []
    for place, entry in enumerate(read_catalogue(data).entries(kind)):
        path = str(label_file(data, kind, entry)).replace("'", "''")
        connection.execute(f"ATTACH '{path}' AS {kind}_{place} (READ_ONLY)")
        attached.append((place, f"{kind}_{place}"))
    return attached
