"""The parts of which every chart of lines is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.html.text import MINUS
from neuronym.chart.axis import Axis, Tick
from neuronym.chart.legend import set_apart

NAME_HEIGHT = 9.0  # per cent of the box that a name at the end of a line takes


class Point(NamedTuple):
    """A place in the box, from the left and from the top."""

    x: float
    y: float


class Line(NamedTuple):
    """A line with its name, which stands at the right at `name_y`. `style` is the end of its CSS classes."""

    name: str
    style: str
    points: list[Point]
    name_y: float

    @property
    def drawn(self) -> str:
        """The points as an SVG polyline has them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


class Course(NamedTuple):
    """What one line shows: its name, its style, and pairs of a value across and a value up, from left to right."""

    name: str
    style: str
    values: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """What `_chart.html` draws: lines between two axes, what the lower axis counts, and the whole in words.

    `subject` says what is drawn and `sentence` what is seen.
    """

    subject: str
    sentence: str
    lines: list[Line]
    up: list[Tick]
    across: list[Tick]
    counted: str


def lay_lines(courses: Sequence[Course], across: Axis, up: Axis) -> list[Line]:
    """Lay lines between two axes, with names at their ends that do not cover each other."""
    lines = [[Point(round(across.place(x), 2), round(up.place(y), 2)) for x, y in course.values] for course in courses]
    names = set_apart([points[-1].y for points in lines], NAME_HEIGHT, 0.0, 100.0)
    return [
        Line(course.name, course.style, points, round(name_y, 2))
        for course, points, name_y in zip(courses, lines, names, strict=True)
    ]


def upright(axis: Axis) -> Axis:
    """Lay an axis from the bottom of the box to its top."""
    return axis.between(100, 0)


def share_text(value: float) -> str:
    """A share of one as the axes write it."""
    return f"{100 * value:.4g}%"


def value_text(value: float) -> str:
    """A value as the axes write it."""
    return f"{value:g}".replace("-", MINUS)
