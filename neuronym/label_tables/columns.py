"""Shared by all tables: the metadata, and the columns that identify a neuron in its model."""

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


def neuron_key() -> tuple[sa.Column[Any], ...]:
    """New columns `layer` and `neuron`, for one table."""
    return (
        sa.Column("layer", sa.SmallInteger, nullable=False),
        sa.Column("neuron", sa.Integer, nullable=False),
    )
