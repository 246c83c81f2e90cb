"""An axis: a range of values, the round ones among them, and where each lies in a picture."""

from collections.abc import Callable, Iterator
from math import ceil, floor, log10
from typing import NamedTuple

STEPS = 5  # between the ends of an axis, at most
TOLERANCE = 1e-6  # of a step: 0.3 / 0.1 is a little less than 3


class Tick(NamedTuple):
    """A value of an axis: its place in the picture and its text."""

    place: float
    text: str


class Axis(NamedTuple):
    """The values from `low` to `high`, drawn from `start` to `end`; its ticks are the multiples of `step`.

    `start` and `end` are in the picture's own unit: per cent of a box, or pixels. Heights are counted from the top, so
    an upright axis starts at the greater one. `high` is not less than `low`, and `step` is above zero.
    """

    low: float
    high: float
    step: float
    start: float = 0.0
    end: float = 100.0

    def between(self, start: float, end: float) -> "Axis":
        """Lay the same values from `start` to `end`."""
        return self._replace(start=start, end=end)

    def place(self, value: float) -> float:
        """Where a value lies in the picture; in the middle if the axis has no other value."""
        if self.low == self.high:
            return (self.start + self.end) / 2
        return (self.start * (self.high - value) + self.end * (value - self.low)) / (self.high - self.low)

    def values(self) -> list[float]:
        """The multiples of the step within the axis; the only value of an axis that has no other."""
        if self.low == self.high:
            return [self.low]
        first, last = ceil(self.low / self.step - TOLERANCE), floor(self.high / self.step + TOLERANCE)
        return [self.step * times for times in range(first, last + 1)]

    def ticks(self, written: Callable[[float], str]) -> list[Tick]:
        """The values with their places, to a hundredth, and their texts."""
        return [Tick(round(self.place(value), 2), written(value)) for value in self.values()]


def round_axis(low: float, high: float, least_step: float = 1e-9) -> Axis:
    """Lay an axis around values from `low` to `high` that begins and ends at a tick.

    It has STEPS steps at most, none smaller than `least_step`, and at least one: below values that are all the same,
    or above them where they are zero or less.
    """
    for step in _round_numbers(max(least_step, (high - low) / STEPS)):
        first, last = floor(low / step + TOLERANCE), ceil(high / step - TOLERANCE)
        if last - first <= STEPS:
            break
    if first == last:
        first, last = (first - 1, last) if last > 0 else (first, last + 1)
    return Axis(step * first, step * last, step)


def exact_axis(low: float, high: float) -> Axis:
    """Lay an axis that begins at `low` and ends at `high`, with round ticks in between."""
    return Axis(low, high, next(_round_numbers((high - low) / STEPS)) if high > low else 1.0)


def count_axis(last: int, most: int) -> Axis:
    """Lay an axis of whole numbers from 0 to `last`, with round ones as ticks, `most` steps at most."""
    numbers = _round_numbers(max(1.0, last / most))
    return Axis(0, last, next(number for number in numbers if number.is_integer()))


def _round_numbers(least: float) -> Iterator[float]:
    """1, 2, 2.5 and 5 times the powers of ten, in order, from the first that is not below `least`."""
    power = floor(log10(least)) - 1
    while True:
        for first in (1, 2, 2.5, 5):
            number = 10.0**power * first
            if number >= least * (1 - TOLERANCE):
                yield number
        power += 1
