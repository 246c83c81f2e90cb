"""The rule by which a label holds: a clamp moves the token at an end of the label as the label says.

Clamped high, a neuron should raise the highest token of its label and lower the lowest; clamped low, the other way
round. A token that stays where it was does neither: its label does not hold, and is not reversed. The rule stands here
for a value and for a column; a test holds the two against each other.
"""

from enum import StrEnum
from typing import Any, Literal

import sqlalchemy as sa

from neuronym.contract import Direction, Side
from neuronym.label_tables.codes import NAMED_BY, code

Outcome = Literal["holds", "reversed"]
_ZERO = sa.literal_column("0", sa.Integer)


def holds(delta: float | None, side: Side, direction: Direction = Direction.high) -> bool | None:
    """Whether a label holds whose first token on `side` changed by `delta` nats; None where it was not measured."""
    if delta is None:
        return None
    return delta > 0 if NAMED_BY[direction] == side else delta < 0


def outcome(delta: float | None, side: Side, direction: Direction = Direction.high) -> Outcome | None:
    """What a clamp did to a label, in a word; None where it was not measured or the token stayed where it was."""
    if not delta:
        return None
    return "holds" if holds(delta, side, direction) else "reversed"


def outwards(
    figure: sa.ColumnElement[Any],
    side: Side | sa.ColumnElement[Any],
    direction: Direction | sa.ColumnElement[Any] = Direction.high,
) -> sa.ColumnElement[Any]:
    """A token's figure, its sign turned on the lowest side: the larger, the more it is as the label says.

    Args:
        figure: a score, a z or a change of log-probability.
        side, direction: one for all rows, or the columns that store them.
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
    """`holds` of columns: null where the change is. Its text carries no parameters, so it can stand in a statement."""
    return outwards(delta, side, direction) > _ZERO


def _raised(
    side: Side | sa.ColumnElement[Any], direction: Direction | sa.ColumnElement[Any]
) -> bool | sa.ColumnElement[bool]:
    """Whether the clamp should raise the token: known at once, or of each row."""
    if isinstance(direction, Direction):
        raised = NAMED_BY[direction]
        return side is raised if isinstance(side, Side) else _is(side, raised)
    return sa.or_(*(sa.and_(_is(direction, way), _is(side, end)) for way, end in NAMED_BY.items()))


def _is(stored: StrEnum | sa.ColumnElement[Any], word: StrEnum) -> sa.ColumnElement[bool]:
    return (_stored(stored) if isinstance(stored, StrEnum) else stored) == _stored(word)


def _stored(word: StrEnum) -> sa.ColumnClause[int]:
    return sa.literal_column(str(code(word)), sa.SmallInteger)
