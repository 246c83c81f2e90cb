"""Reading a label file in a test, beside whatever else has it open."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import duckdb


def rows(data: Path, statement: str) -> list[tuple[Any, ...]]:
    """Rows of the current label file of a data folder.

    From a copy: DuckDB refuses a second connection to one path with other settings, and an app may have it open.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(data / "current", Path(folder) / "labels.duckdb")
        with duckdb.connect(copy, read_only=True) as connection:
            return connection.execute(statement).fetchall()
