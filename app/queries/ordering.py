"""What the orders of label rows are made of: which way a side counts, and how far a label is trusted.

A label holds when clamping its neuron high raises its highest token, or lowers its lowest. Knows columns of
`label_by_token`, wherever they come from; knows no filter. Numbers stand in the statement (see `conditions`).
"""

from typing import Any

import sqlalchemy as sa

from app.contract import Side
from app.queries.conditions import equal
from app.schema import NAMED

_NONE, _NEVER_JUDGED, _TWICE, _NAMED = (sa.literal_column(str(number), sa.Integer) for number in (0, -1, 2, NAMED))


def outwards(side: Side | sa.ColumnElement[Any], figure: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A figure of a token, turned so that the best of its side is the largest."""
    if isinstance(side, Side):
        return figure if side is Side.top else -figure
    return sa.case((equal(side, Side.top), figure), else_=-figure)


def trust(
    strength: sa.ColumnElement[Any], effect: sa.ColumnElement[Any], rank: sa.ColumnElement[Any] | None = None
) -> sa.ColumnElement[int]:
    """The larger, the more a label is to be trusted: by strength, unjudged last; within that those that hold first.

    `effect` is turned outwards: above 0 where the label holds. Where a token is sought, a label that names it, its
    `rank` among the first, comes before one that merely lists it.
    """
    grade = sa.func.coalesce(sa.type_coerce(strength, sa.SmallInteger), _NEVER_JUDGED)
    holds = sa.func.coalesce(sa.cast(effect > _NONE, sa.Integer), _NONE)
    if rank is None:
        return _TWICE * grade + holds
    return _TWICE * (_TWICE * grade + sa.cast(rank < _NAMED, sa.Integer)) + holds
