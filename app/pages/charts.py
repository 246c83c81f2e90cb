"""The geometry of charts over layers: percentages of their box, so that lines stretch and text does not.

Knows numbers; templates draw them. Every chart has its sentence, and a table with the same numbers stands beside it.
"""

from collections.abc import Callable, Sequence
from math import ceil, floor
from typing import NamedTuple, Protocol, TypeVar

from app.html.text import number, percent
from app.pages.neuron_names import LENSES, ORDER
from neuronym.contract import LayerAgreement, LayerThreshold, Lens, View

STEPS = tuple(10.0**power * first for power in range(-3, 4) for first in (1, 2, 5))  # between two lines of the grid
GRID = 5  # steps at most
LAYERS_NAMED = 8
APART = 9.0  # per cent of the height that two names at the end of lines need


class OfLayer(Protocol):
    """A measure of one layer under a view and lens."""

    @property
    def view(self) -> View: ...
    @property
    def lens(self) -> Lens: ...
    @property
    def layer(self) -> int: ...


Measure = TypeVar("Measure", bound=OfLayer)


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


class Axis(NamedTuple):
    """What lies at the bottom and at the top of the box, and how far the lines of the grid are apart."""

    low: float
    high: float
    step: float

    def height(self, value: float) -> float:
        """Where a value stands, from the top."""
        return round(100 * (self.high - value) / (self.high - self.low), 2)

    def ticks(self, written: Callable[[float], str]) -> list[Tick]:
        """The lines of the grid."""
        values = (self.low + place * self.step for place in range(round((self.high - self.low) / self.step) + 1))
        return [Tick(self.height(value), written(value)) for value in values]


def agreement_charts(measured: Sequence[LayerAgreement]) -> list[Chart]:
    """How many labels stayed, a chart for each lens, cosine first; empty if nothing was measured."""
    return [
        _chart(lens, rows, lambda one: one.agreement, 1.0, _share, _agreement_sentence)
        for lens, rows in _by_lens(measured, LENSES)
    ]


def threshold_charts(measured: Sequence[LayerThreshold], lenses: Sequence[Lens] = LENSES) -> list[Chart]:
    """Beyond which deviation a label is strong, a chart for each lens; empty if no control was measured."""
    return [
        _chart(lens, rows, lambda one: one.strong_above, None, lambda value: f"{value:g}", _threshold_sentence)
        for lens, rows in _by_lens(measured, lenses)
    ]


def strong_charts(measured: Sequence[LayerThreshold], lenses: Sequence[Lens] = LENSES) -> list[Chart]:
    """Which share of the labels is strong, a chart for each lens."""
    return [
        _chart(lens, rows, strong_share, None, _share, _strong_sentence) for lens, rows in _by_lens(measured, lenses)
    ]


def strong_share(one: LayerThreshold) -> float:
    """The share of strong labels."""
    return one.strong / one.labels if one.labels else 0.0


def _by_lens(measured: Sequence[Measure], lenses: Sequence[Lens]) -> list[tuple[Lens, list[Measure]]]:
    rows = ((lens, [one for one in measured if one.lens is lens]) for lens in lenses)
    return [(lens, found) for lens, found in rows if found]


def _chart(
    lens: Lens,
    measured: list[Measure],
    value: Callable[[Measure], float],
    high: float | None,
    written: Callable[[float], str],
    sentence: Callable[[list[Measure], Axis], str],
) -> Chart:
    """A line a view; `high` is the top of the axis where it is known."""
    axis = _axis([value(one) for one in measured], high)
    last = max(one.layer for one in measured)
    by_view = [(view, [one for one in measured if one.view is view]) for view in ORDER]
    points = [
        (view, [Point(_along(one.layer, last), axis.height(value(one))) for one in rows])
        for view, rows in by_view
        if rows
    ]
    names = _spread([line[-1].y for _, line in points])
    return Chart(
        lens,
        [Line(view, line, name) for (view, line), name in zip(points, names, strict=True)],
        axis.ticks(written),
        [Tick(_along(layer, last), str(layer)) for layer in range(0, last + 1, ceil((last + 1) / LAYERS_NAMED))],
        sentence(measured, axis),
    )


def _axis(values: list[float], high: float | None) -> Axis:
    """Round numbers around the values, GRID steps at most."""
    least, most = min(values), max(values) if high is None else high
    step = next(step for step in STEPS if ceil(round(most / step, 6)) - floor(round(least / step, 6)) <= GRID)
    low, top = floor(round(least / step, 6)) * step, ceil(round(most / step, 6)) * step
    return Axis(low, top, step) if low < top else Axis(top - step, top, step)


def _share(value: float) -> str:
    return f"{100 * value:.4g}%"


def _along(layer: int, last: int) -> float:
    return round(100 * layer / last, 2) if last else 50.0


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


def _agreement_sentence(measured: list[LayerAgreement], axis: Axis) -> str:
    least, most = (choose(measured, key=lambda one: one.agreement) for choose in (min, max))
    begins = f" The axis begins at {_share(axis.low)}." if axis.low else ""
    return (
        f"Fewest keep it in layer {least.layer}, {least.view} view ({percent(least.agreement)}), "
        f"most in layer {most.layer}, {most.view} view ({percent(most.agreement)}).{begins}"
    )


def _threshold_sentence(measured: list[LayerThreshold], axis: Axis) -> str:
    least, most = (choose(measured, key=lambda one: one.strong_above) for choose in (min, max))
    begins = f" The axis begins at {axis.low:g}." if axis.low else ""
    return (
        f"From {number(least.strong_above, 1)} in layer {least.layer}, {least.view} view, "
        f"to {number(most.strong_above, 1)} in layer {most.layer}, {most.view} view.{begins}"
    )


def _strong_sentence(measured: list[LayerThreshold], _: Axis) -> str:
    least, most = (choose(measured, key=strong_share) for choose in (min, max))
    return (
        f"Fewest in layer {least.layer}, {least.view} view ({percent(strong_share(least))}), "
        f"most in layer {most.layer}, {most.view} view ({percent(strong_share(most))})."
    )
