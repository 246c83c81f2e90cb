"""The codes stored in the tables: enumerations as small integers, places in lists, quantiles."""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from neuronym.contract import Direction, Lens, Side, View

NAMED = 5  # tokens of a label that a search row carries
QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)


def code(value: StrEnum) -> int:
    """The small integer an enumeration's value is stored as."""
    return list(type(value)).index(value)


LABELS = len(Side) * len(View) * len(Lens)  # label ends a neuron can have; each end has a first token


def label_place(view: View, lens: Lens, side: Side = Side.top) -> int:
    """The index of one end of a label in the lists of the table `effect`, the same for all models."""
    return (code(side) * len(View) + code(view)) * len(Lens) + code(lens)


NAMED_BY = {Direction.high: Side.top, Direction.low: Side.bottom}  # the end of a label that a clamp should raise


class Coded(sa.types.TypeDecorator[StrEnum]):
    """A StrEnum stored as its position in the class."""

    impl = sa.SmallInteger
    cache_ok = True

    def __init__(self, values: type[StrEnum]) -> None:
        super().__init__()
        self.values = values
        self._members = list(values)

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> int | None:
        return None if value is None else code(self.values(value))

    def process_result_value(self, value: int | None, _dialect: sa.Dialect) -> StrEnum | None:
        return None if value is None else self._members[value]
