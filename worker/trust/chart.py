"""The share of labels that hold, layer by layer, as an SVG: one line a view with its control."""

from collections.abc import Sequence

from neuronym.chart.axis import Axis, count_axis
from neuronym.chart.legend import set_apart
from neuronym.contract import Lens, Site, View
from neuronym.sites import NATURAL_SITE
from worker.svg import HALF_LINE, TEXT_HEIGHT, Frame, Style, Words, draw, share_ticks
from worker.trust.report import LabelGroup, ModelReport

FRAME = Frame(width=720, height=400, left=60, right=150, top=44, bottom=52)
UP = FRAME.up(Axis(0, 1, 0.25))  # half of them hold by chance
LAYERS_NAMED = 8
LINES = tuple((view, NATURAL_SITE[view]) for view in (View.down, View.gate, View.up))
STYLE = Style(
    light="polyline{fill:none;stroke-width:2.5}.control{stroke-width:1.25;stroke-dasharray:4 4}"
    ".down{stroke:#0b62a8}.gate{stroke:#15803d}.up{stroke:#c2410c}"
    "text.down{fill:#0b62a8;stroke:none}text.gate{fill:#15803d;stroke:none}text.up{fill:#c2410c;stroke:none}",
    dark=".down{stroke:#6ab0f3}.gate{stroke:#6ed18e}.up{stroke:#f59a6a}"
    "text.down{fill:#6ab0f3}text.gate{fill:#6ed18e}text.up{fill:#f59a6a}",
)


def chart(report: ModelReport, lens: Lens = Lens.cosine) -> str:
    """Draw the SVG file. Solid: the label's token rises. Dashed: another neuron's token rises under the same clamps."""
    words = Words(
        title="Share of labels whose token rises when the neuron is clamped",
        below=f"layer of {report.model}, {lens} lens; dashed: another neuron’s token",
    )
    across = FRAME.across(count_axis(report.layers - 1, LAYERS_NAMED))
    courses = [(view, site, report.by_layer(view, lens, site)) for view, site in LINES]
    drawn = [(view, site, groups) for view, site, groups in courses if groups]
    marks = [*[_line(view, groups, across) for view, _, groups in drawn], *_names(drawn)]
    return draw(FRAME, words, STYLE, (across.ticks("{:g}".format), share_ticks(UP)), marks)


def _line(view: View, groups: Sequence[LabelGroup], across: Axis) -> str:
    def points(measure: str) -> str:
        places = ((across.place(group.layer or 0), UP.place(getattr(group, measure))) for group in groups)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)

    return (
        f'<polyline class="{view} control" points="{points("control_rises")}"/>'
        f'<polyline class="{view}" points="{points("rises")}"/>'
    )


def _names(drawn: Sequence[tuple[View, Site, list[LabelGroup]]]) -> list[str]:
    """Place the name of each line at its right end, moved apart where names would overlap."""
    ends = [UP.place(groups[-1].rises) for _, _, groups in drawn]
    places = set_apart(ends, TEXT_HEIGHT, FRAME.top, FRAME.height - FRAME.bottom)
    return [
        f'<text class="{view}" x="{FRAME.width - FRAME.right + 8}" y="{y + HALF_LINE:.1f}">{view}, at {site}</text>'
        for (view, site, _), y in zip(drawn, places, strict=True)
    ]
