"""The rule by which a label holds: a clamp moves the token at an end of the label as the label says.

Clamped high, a neuron should raise the highest token of its label and lower the lowest; clamped low, the other way
round. A token that stays where it was does neither: its label does not hold, and is not reversed. The rule is written
once for a value and once for a column; a test compares the two.
"""

from enum import StrEnum
from typing import Any, Literal

import sqlalchemy as sa

from neuronym.contract import Direction, Side
from neuronym.label_tables.codes import NAMED_BY, code

Outcome = Literal["holds", "reversed"]
_ZERO = sa.literal_column("0", sa.Integer)


def holds(delta: float | None, side: Side, direction: Direction = Direction.high) -> bool | None:
    """Return whether a label holds whose first token on `side` changed by `delta` nats; None if `delta` is None."""
    if delta is None:
        return None
    return delta > 0 if NAMED_BY[direction] == side else delta < 0


def outcome(delta: float | None, side: Side, direction: Direction = Direction.high) -> Outcome | None:
    """The result of a clamp for a label, in a word; None if `delta` is None or zero."""
    if not delta:
        return None
    return "holds" if holds(delta, side, direction) else "reversed"


def outwards(
    figure: sa.ColumnElement[Any],
    side: Side | sa.ColumnElement[Any],
    direction: Direction | sa.ColumnElement[Any] = Direction.high,
) -> sa.ColumnElement[Any]:
    """A token's figure with the sign that makes it larger the better it agrees with the label.

    Args:
        figure: a score, a z or a change of log-probability.
        side, direction: a value for all rows, or the column that stores it.
    """
    raised = _raised(side, direction)
    if isinstance(raised, bool):
        return figure if raised else -figure
    return sa.case((raised, figure), else_=-figure)


def column_holds(
    delta: sa.ColumnElement[Any],
    side: Side | sa.ColumnElement[Any],
    direction: Direction | sa.ColumnElement[Any] = Direction.high,
) -> sa.ColumnElement[bool]:
    """The rule `holds` as an SQL expression: null where the change is null. It has no bound parameters."""
    return outwards(delta, side, direction) > _ZERO


def _raised(
    side: Side | sa.ColumnElement[Any], direction: Direction | sa.ColumnElement[Any]
) -> bool | sa.ColumnElement[bool]:
    """Whether the clamp should raise the token: a bool if side and direction are values, else an expression."""
    if isinstance(direction, Direction):
        raised = NAMED_BY[direction]
        return side is raised if isinstance(side, Side) else _is(side, raised)
    return sa.or_(*(sa.and_(_is(direction, way), _is(side, end)) for way, end in NAMED_BY.items()))


def _is(stored: StrEnum | sa.ColumnElement[Any], word: StrEnum) -> sa.ColumnElement[bool]:
    return (_stored(stored) if isinstance(stored, StrEnum) else stored) == _stored(word)


def _stored(word: StrEnum) -> sa.ColumnClause[int]:
    return sa.literal_column(str(code(word)), sa.SmallInteger)
