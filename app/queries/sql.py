"""Conditions whose values stand in the statement itself.

DuckDB's Python client looks for pandas anew at every bound parameter, 0.1 ms each where there is none, and a search has
a hundred of them. These values are numbers and members of our enumerations, spelled by SQLAlchemy from the
column's type; no text from outside ever stands in a statement.
"""

from collections.abc import Iterable
from enum import StrEnum

import sqlalchemy as sa

Number = int | float | bool | StrEnum


def literal(column: sa.ColumnElement[object], value: Number) -> sa.BindParameter[object]:
    """A value in the statement itself, spelled as the column's type spells it."""
    return sa.bindparam(None, value, type_=column.type, literal_execute=True)


def parameter(column: sa.ColumnElement[object], name: str) -> sa.BindParameter[object]:
    """A value like `literal`, named, that a kept statement is given each time it is asked."""
    return sa.bindparam(name, type_=column.type, literal_execute=True)


def parameters(column: sa.ColumnElement[object], name: str) -> sa.BindParameter[object]:
    """A list of values like those of `parameter`, for `in_`; its length may differ each time."""
    return sa.bindparam(name, type_=column.type, literal_execute=True, expanding=True)


def equal(column: sa.ColumnElement[object], value: Number) -> sa.ColumnElement[bool]:
    """Whether a column has this value."""
    return column == literal(column, value)


def one_of(column: sa.ColumnElement[object], values: Iterable[int]) -> sa.ColumnElement[bool]:
    """Whether a column has one of these values."""
    return column.in_([literal(column, value) for value in values])
