"""Charts over the layers of a model: how many labels agree, how many are strong, and from which deviation on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from app.html.text import number, percent
from app.pages.charts.lines import Chart, Course, lay_lines, share_text, upright, value_text
from app.pages.neuron_names import LENSES, ORDER
from neuronym.chart.axis import Axis, count_axis, round_axis
from neuronym.contract import LayerAgreement, LayerThreshold, Lens, View

LEAST_STEP = 0.001  # as finely as shares and deviations are written
LAYERS_NAMED = 8


class OfLayer(Protocol):
    """A measure of one layer under a view and lens."""

    @property
    def view(self) -> View: ...
    @property
    def lens(self) -> Lens: ...
    @property
    def layer(self) -> int: ...


Measure = TypeVar("Measure", bound=OfLayer)


@dataclass(frozen=True)
class LayerChart(Chart):
    """A chart of one lens, a line for each view."""

    lens: Lens


def agreement_charts(measured: Sequence[LayerAgreement]) -> list[LayerChart]:
    """How many labels stayed, a chart for each lens, cosine first; empty if nothing was measured."""
    charts = []
    for lens, rows in _by_lens(measured, LENSES):
        up = round_axis(min(one.agreement for one in rows), 1.0, LEAST_STEP)
        charts.append(_chart(lens, rows, lambda one: one.agreement, up, share_text, _agreement_sentence(rows, up)))
    return charts


def threshold_charts(measured: Sequence[LayerThreshold], lenses: Sequence[Lens] = LENSES) -> list[LayerChart]:
    """Beyond which deviation a label is strong, a chart for each lens; empty if no control was measured."""
    charts = []
    for lens, rows in _by_lens(measured, lenses):
        up = _axis_around([one.strong_above for one in rows])
        charts.append(_chart(lens, rows, lambda one: one.strong_above, up, value_text, _threshold_sentence(rows, up)))
    return charts


def strong_charts(measured: Sequence[LayerThreshold], lenses: Sequence[Lens] = LENSES) -> list[LayerChart]:
    """Which share of the labels is strong, a chart for each lens."""
    charts = []
    for lens, rows in _by_lens(measured, lenses):
        up = _axis_around([strong_share(one) for one in rows])
        charts.append(_chart(lens, rows, strong_share, up, share_text, _strong_sentence(rows)))
    return charts


def strong_share(one: LayerThreshold) -> float:
    """The share of strong labels."""
    return one.strong / one.labels if one.labels else 0.0


def _by_lens(measured: Sequence[Measure], lenses: Sequence[Lens]) -> list[tuple[Lens, list[Measure]]]:
    rows = ((lens, [one for one in measured if one.lens is lens]) for lens in lenses)
    return [(lens, found) for lens, found in rows if found]


def _axis_around(values: list[float]) -> Axis:
    return round_axis(min(values), max(values), LEAST_STEP)


def _chart(
    lens: Lens,
    measured: list[Measure],
    value: Callable[[Measure], float],
    up: Axis,
    written: Callable[[float], str],
    sentence: str,
) -> LayerChart:
    """Draw `value` over the layers, a line for each view."""
    across, up = count_axis(max(one.layer for one in measured), LAYERS_NAMED), upright(up)
    by_view = [(view, [(one.layer, value(one)) for one in measured if one.view is view]) for view in ORDER]
    return LayerChart(
        subject=f"{lens} lens",
        sentence=sentence,
        lines=lay_lines([Course(view, view, values) for view, values in by_view if values], across, up),
        up=up.ticks(written),
        across=across.ticks(value_text),
        counted="layer",
        lens=lens,
    )


def _agreement_sentence(measured: list[LayerAgreement], axis: Axis) -> str:
    least, most = (choose(measured, key=lambda one: one.agreement) for choose in (min, max))
    begins = f" The axis begins at {share_text(axis.low)}." if axis.low else ""
    return (
        f"Fewest keep it in layer {least.layer}, {least.view} view ({percent(least.agreement)}), "
        f"most in layer {most.layer}, {most.view} view ({percent(most.agreement)}).{begins}"
    )


def _threshold_sentence(measured: list[LayerThreshold], axis: Axis) -> str:
    least, most = (choose(measured, key=lambda one: one.strong_above) for choose in (min, max))
    begins = f" The axis begins at {value_text(axis.low)}." if axis.low else ""
    return (
        f"From {number(least.strong_above, 1)} in layer {least.layer}, {least.view} view, "
        f"to {number(most.strong_above, 1)} in layer {most.layer}, {most.view} view.{begins}"
    )


def _strong_sentence(measured: list[LayerThreshold]) -> str:
    least, most = (choose(measured, key=strong_share) for choose in (min, max))
    return (
        f"Fewest in layer {least.layer}, {least.view} view ({percent(strong_share(least))}), "
        f"most in layer {most.layer}, {most.view} view ({percent(strong_share(most))})."
    )
