"""When a label holds: the rule for values and the rule for columns, against a table of cases written by hand."""

import duckdb
import pytest
import sqlalchemy as sa

from neuronym.contract import Direction, Side
from neuronym.label_tables import Outcome, code, column_holds, holds, outcome, outwards
from neuronym.label_tables.codes import Coded

CASES: list[tuple[Side, Direction, float | None, bool | None, Outcome | None]] = [
    (Side.top, Direction.high, 0.5, True, "holds"),  # clamped high, the highest token rises
    (Side.top, Direction.high, -0.5, False, "reversed"),
    (Side.bottom, Direction.high, 0.5, False, "reversed"),  # and the lowest falls
    (Side.bottom, Direction.high, -0.5, True, "holds"),
    (Side.top, Direction.low, 0.5, False, "reversed"),  # clamped low, the other way round
    (Side.top, Direction.low, -0.5, True, "holds"),
    (Side.bottom, Direction.low, 0.5, True, "holds"),
    (Side.bottom, Direction.low, -0.5, False, "reversed"),
    *((side, direction, 0.0, False, None) for side in Side for direction in Direction),  # it stayed where it was
    *((side, direction, None, None, None) for side in Side for direction in Direction),  # it was not measured
]
DELTA, DIRECTION = sa.column("delta", sa.REAL), sa.column("direction", sa.SmallInteger)
SIDE = sa.column("side", Coded(Side))


@pytest.mark.parametrize("side, direction, delta, held, word", CASES)
def test_a_label_holds_as_the_method_says(
    side: Side, direction: Direction, delta: float | None, held: bool | None, word: Outcome | None
) -> None:
    assert holds(delta, side, direction) is held
    assert outcome(delta, side, direction) == word
    for expression in (
        column_holds(DELTA, side, direction),
        column_holds(DELTA, SIDE, direction),
        column_holds(DELTA, side, DIRECTION),
        column_holds(DELTA, SIDE, DIRECTION),
    ):
        assert queried(expression, side, direction, delta) == held


@pytest.mark.parametrize("side", Side)
def test_unless_it_is_said_a_clamp_is_one_to_the_high_end(side: Side) -> None:
    assert holds(1, side) is holds(1, side, Direction.high)
    assert queried(column_holds(DELTA, SIDE), side, Direction.low, 1) == holds(1, side)


@pytest.mark.parametrize("side, furthest", [(Side.top, 2.0), (Side.bottom, -3.0)])
def test_turned_outwards_the_best_of_a_side_is_the_largest(side: Side, furthest: float) -> None:
    rows = f"SELECT delta, {code(side)} AS side FROM (VALUES (-3.0), (2.0)) t (delta)"
    assert duckdb.sql(f"SELECT arg_max(delta, {outwards(DELTA, SIDE)}) FROM ({rows})").fetchall() == [(furthest,)]


def queried(expression: sa.ColumnElement[bool], side: Side, direction: Direction, delta: float | None) -> bool | None:
    """The value of an expression for one row, computed by DuckDB."""
    row = f"({'NULL' if delta is None else delta}::REAL, {code(side)}, {code(direction)})"
    columns = "t (delta, side, direction)"
    rows: list[tuple[bool | None]] = duckdb.sql(f"SELECT {expression} FROM (VALUES {row}) {columns}").fetchall()
    return rows[0][0]
