"""What every table is made with: the one metadata, and the columns by which a neuron is found."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


def neuron_key() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("layer", sa.SmallInteger, nullable=False),
        sa.Column("neuron", sa.Integer, nullable=False),
    )
