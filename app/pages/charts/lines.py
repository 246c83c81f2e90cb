"""The parts shared by all charts of lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.html.text import MINUS
from neuronym.chart.axis import Axis, Tick
from neuronym.chart.legend import set_apart

NAME_HEIGHT = 9.0  # per cent of the box that a name at the end of a line takes


class Point(NamedTuple):
    """A point in the box, in per cent from the left and from the top."""

    x: float
    y: float


class Line(NamedTuple):
    """A line with its name, written at the right at `name_y`; `style` is the suffix of its CSS classes."""

    name: str
    style: str
    points: list[Point]
    name_y: float

    @property
    def drawn(self) -> str:
        """The points in the format of an SVG polyline."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


class Series(NamedTuple):
    """The data of one line: name, style, and pairs of values on the lower and upright axis, from left to right."""

    name: str
    style: str
    values: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart as `_chart.html` draws it: lines between two axes, and the whole in words.

    `counted` is what the lower axis counts; `subject` says what the chart shows and `sentence` what can be seen in it.
    """

    subject: str
    sentence: str
    lines: list[Line]
    up: list[Tick]
    across: list[Tick]
    counted: str


def lay_lines(series: Sequence[Series], across: Axis, up: Axis) -> list[Line]:
    """Lay lines between two axes, with names at their ends that do not cover each other."""
    lines = [[Point(round(across.place(x), 2), round(up.place(y), 2)) for x, y in row.values] for row in series]
    names = set_apart([points[-1].y for points in lines], NAME_HEIGHT, 0.0, 100.0)
    return [
        Line(row.name, row.style, points, round(name_y, 2))
        for row, points, name_y in zip(series, lines, names, strict=True)
    ]


def upright(axis: Axis) -> Axis:
    """Lay an axis from the bottom of the box to its top."""
    return axis.between(100, 0)


def share_text(value: float) -> str:
    """A share between 0 and 1 as a percentage for the axes."""
    return f"{100 * value:.4g}%"


def value_text(value: float) -> str:
    """A value as text for the axes."""
    return f"{value:g}".replace("-", MINUS)
