"""The curves of a sweep: the probability of each watched token over the values of a clamp."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from app.html.text import percent, plain
from app.pages.charts.lines import Chart, Series, lay_lines, share_text, upright, value_text
from neuronym.chart.axis import Axis, exact_axis, round_axis
from neuronym.contract import SweepAnswer, SweepCurve, SweptToken

MOST = 6  # lines in a chart; more cannot be told apart
NAME_LENGTH = 10


@dataclass(frozen=True)
class CurveChart(Chart):
    """One model's curves; all charts of a sweep have the same axes."""

    curve: SweepCurve


def curve_charts(answer: SweepAnswer) -> list[CurveChart]:
    """A chart for each model."""
    across = exact_axis(min(answer.values), max(answer.values))
    up = upright(round_axis(0, max(_highest(token) for curve in answer.curves for token in curve.tokens)))
    return [_chart(answer, curve, across, up) for curve in answer.curves]


def _chart(answer: SweepAnswer, curve: SweepCurve, across: Axis, up: Axis) -> CurveChart:
    tokens = sorted(curve.tokens, key=_highest, reverse=True)[:MOST]
    series = [
        Series(plain(token.text, NAME_LENGTH), str(place), sorted(zip(answer.values, token.probabilities, strict=True)))
        for place, token in enumerate(tokens, 1)
    ]
    return CurveChart(
        subject=f"Probability of each token over the value of {answer.neuron}",
        sentence=_sentence(answer.values, tokens[0]),
        lines=lay_lines(series, across, up),
        up=up.ticks(share_text),
        across=across.ticks(value_text),
        counted=f"value of {answer.neuron}" + (", in units of its own range" if answer.unit == "range" else ""),
        curve=curve,
    )


def _highest(token: SweptToken) -> float:
    return max(*token.probabilities, exp(token.baseline))


def _sentence(values: Sequence[float], token: SweptToken) -> str:
    place = max(range(len(values)), key=lambda at: token.probabilities[at])
    return (
        f"“{plain(token.text, 24)}” is likeliest at {value_text(values[place])}: "
        f"{percent(token.probabilities[place])}, and {percent(exp(token.baseline))} without a clamp."
    )
