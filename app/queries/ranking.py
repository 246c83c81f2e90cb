"""The order of label rows by how far a label is to be trusted.

Made of columns like those of `label_by_token`, from any table or subquery. Numbers stand in the statement (see
`app.queries.sql`).
"""

from typing import Any

import sqlalchemy as sa

from neuronym.label_tables import NAMED

_ZERO, _UNJUDGED, _TWICE, _NAMED, _NAMES_TOKEN, _ABOVE_NOISE = (
    sa.literal_column(str(number), sa.Integer) for number in (0, -1, 2, NAMED, 10, 100)
)


def trust(
    strength: sa.ColumnElement[Any], holds: sa.ColumnElement[bool], rank: sa.ColumnElement[Any] | None = None
) -> sa.ColumnElement[int]:
    """A number that is larger the more a label is to be trusted.

    It grows with strength, labels without one being last, and within a strength with whether the label `holds`. With
    the `rank` of a searched token, labels above noise come first, and labels with the token among their first come
    before labels that list it further down.
    """
    grade = sa.func.coalesce(sa.type_coerce(strength, sa.SmallInteger), _UNJUDGED)
    by_strength = _TWICE * grade + sa.func.coalesce(sa.cast(holds, sa.Integer), _ZERO)
    if rank is None:
        return by_strength
    return (
        by_strength
        + _ABOVE_NOISE * sa.cast(grade > _ZERO, sa.Integer)
        + _NAMES_TOKEN * sa.cast(rank < _NAMED, sa.Integer)
    )
