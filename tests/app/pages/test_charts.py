"""All charts of lines: names do not cover each other, and axes do not begin below 0."""

import re
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from app.pages.charts.layers import strong_charts
from app.pages.charts.lines import Series, lay_lines
from neuronym.chart.axis import Axis
from neuronym.contract import LayerThreshold, Lens, View

CSS = Path(__file__).parents[3] / "frontend/static/app.css"
PIXELS = 16  # a rem


def rems(pattern: str) -> list[float]:
    """The sizes in rem that a pattern matches in the stylesheet."""
    return [float(size) for size in re.findall(pattern, CSS.read_text())]


@pytest.mark.parametrize("seed", range(50))
def test_names_at_the_ends_of_lines_do_not_cover_each_other(seed: int) -> None:
    random = Random(seed)
    crowd = random.choice([0.01, 0.2, 1.0])
    series = [Series("name", str(line), [(0, 0), (1, random.uniform(0, crowd))]) for line in range(6)]
    lines = lay_lines(series, Axis(0, 1, 1), Axis(0, 1, 1).between(100, 0))
    (size,) = rems(r"--t-1: ([\d.]+)rem")
    least = min(rems(r"\.chart \{[^}]*\bheight: ([\d.]+)rem"))
    for line, other in combinations(lines, 2):
        assert abs(line.name_y - other.name_y) / 100 * least * PIXELS >= size * PIXELS
        ends = line.points[-1].y, other.points[-1].y
        assert ends[0] == ends[1] or (line.name_y < other.name_y) == (ends[0] < ends[1])
    assert all(0 <= line.name_y <= 100 for line in lines)


def test_no_axis_begins_below_a_share_of_nothing() -> None:
    layer = LayerThreshold(
        view=View.up,
        lens=Lens.cosine,
        layer=0,
        labels=9,
        strong=0,
        weak=0,
        noise=9,
        false_strong=0,
        false_share=0,
        weak_above=4,
        strong_above=5,
    )
    (chart,) = strong_charts([layer])
    assert [tick.text for tick in chart.up] == ["0%", "0.1%"]
    assert chart.lines[0].points == [(50, 100)]
