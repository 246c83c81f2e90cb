"""Shared by all tables: the metadata, and the columns that identify a neuron in its model."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


def neuron_key() -> tuple[sa.Column[Any], ...]:
    """New columns `layer`, `expert` and `neuron`, for one table; `expert` is null outside mixtures of experts."""
    return (
        sa.Column("layer", sa.SmallInteger, nullable=False),
        sa.Column("expert", sa.SmallInteger),
        sa.Column("neuron", sa.Integer, nullable=False),
    )
