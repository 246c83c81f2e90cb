"""Charts over the layers of a model: the share of labels that agree, the share that is strong, and the thresholds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from app.html.text import number, percent
from app.pages.charts.lines import Chart, Series, lay_lines, share_text, upright, value_text
from app.pages.neuron_names import LENSES, VIEW_ORDER
from neuronym.chart.axis import Axis, count_axis, round_axis
from neuronym.contract import LayerAgreement, LayerThreshold, Lens, View

LEAST_STEP = 0.001  # the finest difference that the axes write
LAYERS_NAMED = 8


class LayerFigure(Protocol):
    """A figure of one layer under a view and lens."""

    @property
    def view(self) -> View: ...
    @property
    def lens(self) -> Lens: ...
    @property
    def layer(self) -> int: ...


Figure = TypeVar("Figure", bound=LayerFigure)


@dataclass(frozen=True)
class LayerChart(Chart):
    """A chart of one lens, a line for each view."""

    lens: Lens


def agreement_charts(figures: Sequence[LayerAgreement]) -> list[LayerChart]:
    """The share of labels that kept their first token, a chart for each lens, cosine first; empty without figures."""
    charts = []
    for lens, rows in _by_lens(figures, LENSES):
        up = round_axis(min(figure.agreement for figure in rows), 1.0, LEAST_STEP)
        charts.append(
            _chart(lens, rows, lambda figure: figure.agreement, up, share_text, _agreement_sentence(rows, up))
        )
    return charts


def threshold_charts(figures: Sequence[LayerThreshold], lenses: Sequence[Lens] = LENSES) -> list[LayerChart]:
    """The z beyond which a label is strong, a chart for each lens; empty if no control was measured."""
    charts = []
    for lens, rows in _by_lens(figures, lenses):
        up = _axis_of([figure.strong_above for figure in rows])
        charts.append(
            _chart(lens, rows, lambda figure: figure.strong_above, up, value_text, _threshold_sentence(rows, up))
        )
    return charts


def strong_charts(figures: Sequence[LayerThreshold], lenses: Sequence[Lens] = LENSES) -> list[LayerChart]:
    """The share of labels that are strong, a chart for each lens; empty if no control was measured."""
    charts = []
    for lens, rows in _by_lens(figures, lenses):
        up = _axis_of([strong_share(figure) for figure in rows])
        charts.append(_chart(lens, rows, strong_share, up, share_text, _strong_sentence(rows)))
    return charts


def strong_share(threshold: LayerThreshold) -> float:
    """The share of strong labels, 0 if there are no labels."""
    return threshold.strong / threshold.labels if threshold.labels else 0.0


def _by_lens(figures: Sequence[Figure], lenses: Sequence[Lens]) -> list[tuple[Lens, list[Figure]]]:
    rows = ((lens, [figure for figure in figures if figure.lens is lens]) for lens in lenses)
    return [(lens, of_lens) for lens, of_lens in rows if of_lens]


def _axis_of(values: list[float]) -> Axis:
    return round_axis(min(values), max(values), LEAST_STEP)


def _chart(
    lens: Lens,
    figures: list[Figure],
    value: Callable[[Figure], float],
    up: Axis,
    write: Callable[[float], str],
    sentence: str,
) -> LayerChart:
    """Draw `value` over the layers, a line for each view."""
    across, up = count_axis(max(figure.layer for figure in figures), LAYERS_NAMED), upright(up)
    by_view = [
        (view, [(figure.layer, value(figure)) for figure in figures if figure.view is view]) for view in VIEW_ORDER
    ]
    return LayerChart(
        subject=f"{lens} lens",
        sentence=sentence,
        lines=lay_lines([Series(view, view, values) for view, values in by_view if values], across, up),
        up=up.ticks(write),
        across=across.ticks(value_text),
        counted="layer",
        lens=lens,
    )


def _agreement_sentence(figures: list[LayerAgreement], axis: Axis) -> str:
    least, most = (choose(figures, key=lambda figure: figure.agreement) for choose in (min, max))
    begins = f" The axis begins at {share_text(axis.low)}." if axis.low else ""
    return (
        f"Fewest keep it in layer {least.layer}, {least.view} view ({percent(least.agreement)}), "
        f"most in layer {most.layer}, {most.view} view ({percent(most.agreement)}).{begins}"
    )


def _threshold_sentence(figures: list[LayerThreshold], axis: Axis) -> str:
    least, most = (choose(figures, key=lambda figure: figure.strong_above) for choose in (min, max))
    begins = f" The axis begins at {value_text(axis.low)}." if axis.low else ""
    return (
        f"From {number(least.strong_above, 1)} in layer {least.layer}, {least.view} view, "
        f"to {number(most.strong_above, 1)} in layer {most.layer}, {most.view} view.{begins}"
    )


def _strong_sentence(figures: list[LayerThreshold]) -> str:
    least, most = (choose(figures, key=strong_share) for choose in (min, max))
    return (
        f"Fewest in layer {least.layer}, {least.view} view ({percent(strong_share(least))}), "
        f"most in layer {most.layer}, {most.view} view ({percent(strong_share(most))})."
    )
