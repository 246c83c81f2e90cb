"""What the orders of label rows are made of: which way a side counts, and how far a label is trusted.

A label holds when clamping its neuron high raises its highest token, or lowers its lowest. Knows columns of
`label_by_token`, wherever they come from; knows no filter. Numbers stand in the statement (see `conditions`).
"""

from typing import Any

import sqlalchemy as sa

from app.queries.sql import equal
from neuronym.contract import Side
from neuronym.label_tables import NAMED

_NONE, _NEVER_JUDGED, _TWICE, _NAMED, _NAMES_IT, _ABOVE_NOISE = (
    sa.literal_column(str(number), sa.Integer) for number in (0, -1, 2, NAMED, 10, 100)
)


def outwards(side: Side | sa.ColumnElement[Any], figure: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A figure of a token, turned so that the best of its side is the largest."""
    if isinstance(side, Side):
        return figure if side is Side.top else -figure
    return sa.case((equal(side, Side.top), figure), else_=-figure)


def trust(
    strength: sa.ColumnElement[Any], effect: sa.ColumnElement[Any], rank: sa.ColumnElement[Any] | None = None
) -> sa.ColumnElement[int]:
    """The larger, the more a label is to be trusted: by strength, unjudged last; within that those that hold first.

    `effect` is turned outwards: above 0 where the label holds. Where a token is sought, of the labels above noise those
    that name it, its `rank` among the first, come before those that merely list it.
    """
    grade = sa.func.coalesce(sa.type_coerce(strength, sa.SmallInteger), _NEVER_JUDGED)
    holds = sa.func.coalesce(sa.cast(effect > _NONE, sa.Integer), _NONE)
    judged = _TWICE * grade + holds
    if rank is None:
        return judged
    return judged + _ABOVE_NOISE * sa.cast(grade > _NONE, sa.Integer) + _NAMES_IT * sa.cast(rank < _NAMED, sa.Integer)
