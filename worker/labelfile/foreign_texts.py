"""The small tables of a label file that somebody else made: few rows, texts within limits, JSON that can be read.

Knows columns and limits; knows nothing of what a model is.
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

import sqlalchemy as sa

from neuronym.label_tables import metadata
from worker.errors import ForeignFileError

# The most bytes of a text, by table and column; a line where nothing is said.
_LONG: Mapping[str, Mapping[str, int]] = {
    "model": {"settings": 20_000, "versions": 20_000, "note": 4_000},
    "pair": {"note": 4_000},
    "tokenizer": {"json": 100_000_000},  # the largest known are a third of it
    "measurement": {"settings": 1_000_000, "result": 4_000_000},
}
_LINE = 500


def count_rows(connection: sa.Connection, table: str) -> int:
    """The number of rows of a table of the file."""
    return int(connection.scalar(sa.text(f"SELECT count(*) FROM file.{table}")) or 0)


def read_rows(connection: sa.Connection, table: str, most: int) -> list[dict[str, Any]]:
    """All rows of a small table, codes as they are stored.

    Raises:
        ForeignFileError: it has more rows than `most`, a text too long or of several lines, or a null or no number
            where none may be.
    """
    rows = count_rows(connection, table)
    if rows > most:
        raise ForeignFileError(f"its table {table!r} has {rows:,} rows and not {most} at most")
    columns = metadata.tables[table].columns
    texts = [column.name for column in columns if isinstance(column.type, sa.String)]
    lengths = connection.execute(
        sa.text(f"SELECT {', '.join(f'max(strlen({name}))' for name in texts)} FROM file.{table}")
    )
    for name, length in zip(texts, lengths.one(), strict=True):
        longest = _LONG.get(table, {}).get(name, _LINE)
        if length is not None and length > longest:
            raise ForeignFileError(f"its {table}.{name} has {length:,} bytes and not {longest:,} at most")
    found = connection.execute(sa.text(f"SELECT {', '.join(columns.keys())} FROM file.{table}")).mappings()
    return [_checked(table, dict(row)) for row in found]


def read_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is none, is nested too deep, or has numbers or letters that JSON does not have.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_number)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # 1e999, and halves of letters
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def check_time(text: str) -> None:
    """Check that a text is a time, as label files write it.

    Raises:
        ForeignFileError: it is not.
    """
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ForeignFileError(f"{text[:40]!r} is no time") from error


def _refuse_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _checked(table: str, row: dict[str, Any]) -> dict[str, Any]:
    long = _LONG.get(table, {})
    for name, value in row.items():
        place = f"its {table}.{name}"
        if value is None and not metadata.tables[table].c[name].nullable:
            raise ForeignFileError(f"{place} is empty")
        if isinstance(value, float) and not math.isfinite(value):
            raise ForeignFileError(f"{place} is {value}")
        if isinstance(value, str) and name not in long and not value.isprintable():
            raise ForeignFileError(f"{place} is more than a line of text")
    return row
