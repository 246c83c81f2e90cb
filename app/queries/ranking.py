"""The order of label rows by how far a label is to be trusted.

Knows columns of `label_by_token`, wherever they come from; knows no filter. Numbers stand in the statement (see
`app.queries.sql`).
"""

from typing import Any

import sqlalchemy as sa

from neuronym.label_tables import NAMED

_NONE, _NEVER_JUDGED, _TWICE, _NAMED, _NAMES_IT, _ABOVE_NOISE = (
    sa.literal_column(str(number), sa.Integer) for number in (0, -1, 2, NAMED, 10, 100)
)


def trust(
    strength: sa.ColumnElement[Any], holds: sa.ColumnElement[bool], rank: sa.ColumnElement[Any] | None = None
) -> sa.ColumnElement[int]:
    """The larger, the more a label is to be trusted: by strength, unjudged last; within that those that hold first.

    Where a token is sought, of the labels above noise those that name it, its `rank` among the first, come before those
    that merely list it.
    """
    grade = sa.func.coalesce(sa.type_coerce(strength, sa.SmallInteger), _NEVER_JUDGED)
    judged = _TWICE * grade + sa.func.coalesce(sa.cast(holds, sa.Integer), _NONE)
    if rank is None:
        return judged
    return judged + _ABOVE_NOISE * sa.cast(grade > _NONE, sa.Integer) + _NAMES_IT * sa.cast(rank < _NAMED, sa.Integer)
