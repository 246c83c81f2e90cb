"""The geometry of a chart of agreement over layers: percentages of its box, so that lines stretch and text does not.

Knows numbers; templates draw them. Every chart has its sentence, and a table with the same numbers stands beside it.
"""

from collections.abc import Sequence
from math import ceil, floor
from typing import NamedTuple

from app.contract import LayerAgreement, Lens, View
from app.pages.naming import ORDER
from app.typography import percent

STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # between two lines of the grid
GRID = 5  # steps at most
LAYERS_NAMED = 8
APART = 9.0  # per cent of the height that two names at the end of lines need


class Tick(NamedTuple):
    """A line of the grid and what is written at it."""

    place: float
    text: str


class Point(NamedTuple):
    """Where a layer stands."""

    x: float
    y: float


class Line(NamedTuple):
    """One view over all layers; `name_y` is where its name stands at the right."""

    view: View
    points: list[Point]
    name_y: float

    @property
    def drawn(self) -> str:
        """The points as an SVG polyline has them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


class Chart(NamedTuple):
    """A chart of one lens."""

    lens: Lens
    lines: list[Line]
    shares: list[Tick]
    layers: list[Tick]
    sentence: str


def agreement_charts(measured: Sequence[LayerAgreement]) -> list[Chart]:
    """A chart for each lens, cosine first; empty if nothing was measured."""
    lenses = [lens for lens in (Lens.cosine, Lens.logit) if any(one.lens is lens for one in measured)]
    return [_chart(lens, [one for one in measured if one.lens is lens]) for lens in lenses]


def _chart(lens: Lens, measured: list[LayerAgreement]) -> Chart:
    low, step = _axis(min(one.agreement for one in measured))
    last = max(one.layer for one in measured)
    by_view = [(view, [one for one in measured if one.view is view]) for view in ORDER]
    points = [(view, [_point(one, low, last) for one in rows]) for view, rows in by_view if rows]
    names = _spread([line[-1].y for _, line in points])
    return Chart(
        lens,
        [Line(view, line, name) for (view, line), name in zip(points, names, strict=True)],
        [Tick(_height(low + place * step, low), f"{100 * (low + place * step):g}%") for place in _places(low, step)],
        [Tick(_along(layer, last), str(layer)) for layer in range(0, last + 1, ceil((last + 1) / LAYERS_NAMED))],
        _sentence(measured, low),
    )


def _axis(least: float) -> tuple[float, float]:
    """Where the axis begins below 1, and its step."""
    step = next((step for step in STEPS if (1 - least) / step <= GRID), STEPS[-1])
    low = max(0.0, floor(round(least / step, 6)) * step)
    return (low if low < 1 else 1 - step), step


def _places(low: float, step: float) -> range:
    return range(round((1 - low) / step) + 1)


def _along(layer: int, last: int) -> float:
    return round(100 * layer / last, 2) if last else 50.0


def _height(share: float, low: float) -> float:
    return round(100 * (1 - share) / (1 - low), 2)


def _point(one: LayerAgreement, low: float, last: int) -> Point:
    return Point(_along(one.layer, last), _height(one.agreement, low))


def _spread(heights: list[float]) -> list[float]:
    """The same heights in the same order, at least APART from each other and inside the box."""
    placed = dict.fromkeys(range(len(heights)), 0.0)
    floor_ = 0.0
    order = sorted(placed, key=lambda place: heights[place])
    for place in order:
        placed[place] = max(heights[place], floor_)
        floor_ = placed[place] + APART
    over = max(0.0, floor_ - APART - 100)
    return [round(placed[place] - over, 2) for place in placed]


def _sentence(measured: list[LayerAgreement], low: float) -> str:
    least, most = (choose(measured, key=lambda one: one.agreement) for choose in (min, max))
    begins = f" The axis begins at {100 * low:g}%." if low else ""
    return (
        f"Fewest keep it in layer {least.layer}, {least.view} view ({percent(least.agreement)}), "
        f"most in layer {most.layer}, {most.view} view ({percent(most.agreement)}).{begins}"
    )
