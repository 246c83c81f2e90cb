"""The geometry of a sweep's curves: percentages of the box, so that lines stretch with it and text does not.

Knows numbers; a template draws them, and a table with the same numbers stands beside them.
"""

from collections.abc import Sequence
from math import ceil, exp, floor, log10
from typing import NamedTuple

from app.html.text import MINUS, percent, plain
from neuronym.contract import SweepAnswer, SweepCurve, SweptToken

MOST = 6  # lines that can be told apart
APART = 9.0  # per cent of the height that two names need
TICKS = 6


class Tick(NamedTuple):
    """A line of the grid and what is written at it."""

    place: float
    text: str


class Line(NamedTuple):
    """One token's probability; `name_y` is where its name stands at the right."""

    token: SweptToken
    points: list[tuple[float, float]]
    baseline: float
    name_y: float

    @property
    def drawn(self) -> str:
        """The points as an SVG polyline has them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


class CurveChart(NamedTuple):
    """One model's curves. All charts of a sweep have the same axes."""

    curve: SweepCurve
    lines: list[Line]
    shares: list[Tick]
    values: list[Tick]
    sentence: str


def curve_charts(answer: SweepAnswer) -> list[CurveChart]:
    """A chart for each model."""
    top = max(_highest(token) for curve in answer.curves for token in curve.tokens)
    step = _step(top)
    return [_chart(answer, curve, step, ceil(top / step - 1e-9)) for curve in answer.curves]


def _chart(answer: SweepAnswer, curve: SweepCurve, step: float, steps: int) -> CurveChart:
    top = step * steps
    order = sorted(range(len(answer.values)), key=lambda place: answer.values[place])
    low, high = answer.values[order[0]], answer.values[order[-1]]
    tokens = sorted(curve.tokens, key=_highest, reverse=True)[:MOST]
    points = [
        [(_along(answer.values[place], low, high), _height(token.probabilities[place], top)) for place in order]
        for token in tokens
    ]
    names = _spread([line[-1][1] for line in points])
    return CurveChart(
        curve,
        [
            Line(token, line, _height(exp(token.baseline), top), name)
            for token, line, name in zip(tokens, points, names, strict=True)
        ],
        [Tick(_height(step * place, top), f"{100 * step * place:g}%") for place in range(steps + 1)],
        _values(low, high),
        _sentence(answer.values, tokens[0]),
    )


def _highest(token: SweptToken) -> float:
    return max(*token.probabilities, exp(token.baseline), 1e-9)


def _step(top: float) -> float:
    """A round step that divides `top` into five at most."""
    size: float = 10.0 ** floor(log10(top / 5))
    return next(size * times for times in (1, 2, 2.5, 5, 10) if top / (size * times) <= 5)


def _along(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 2) if high > low else 50.0


def _height(share: float, top: float) -> float:
    return round(100 * (1 - share / top), 2)


def _values(low: float, high: float) -> list[Tick]:
    if high == low:
        return [Tick(50.0, _plainly(low))]
    step = _step(high - low)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [Tick(_along(step * place, low, high), _plainly(step * place)) for place in range(first, last + 1)]


def _plainly(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _spread(heights: Sequence[float]) -> list[float]:
    """The same heights in the same order, at least APART from each other, inside the box where there is room."""
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    placed, least = [0.0] * len(heights), 0.0
    for place in order:
        placed[place] = max(heights[place], least)
        least = placed[place] + APART
    over = max(0.0, least - APART - 100)
    return [round(place - over, 2) for place in placed]


def _sentence(values: Sequence[float], token: SweptToken) -> str:
    place = max(range(len(values)), key=lambda at: token.probabilities[at])
    return (
        f"“{plain(token.text, 24)}” is likeliest at {_plainly(values[place])}: {percent(token.probabilities[place])}, "
        f"and {percent(exp(token.baseline))} without a clamp."
    )
