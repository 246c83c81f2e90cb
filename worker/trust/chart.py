"""How often labels hold, layer by layer, as an SVG: one line a view with its control, in the reader's light or dark."""

from collections.abc import Sequence
from html import escape

from neuronym.contract import Lens, Site, View
from neuronym.sites import NATURAL_SITE
from worker.trust.report import Group, ModelReport

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 44, 52
LINES = tuple((view, NATURAL_SITE[view]) for view in (View.down, View.gate, View.up))
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#444}.title{font-size:15px;font-weight:600;fill:#111}"
    ".grid{stroke:#ddd}polyline{fill:none;stroke-width:2.5}.control{stroke-width:1.25;stroke-dasharray:4 4}"
    ".down{stroke:#0b62a8}.gate{stroke:#15803d}.up{stroke:#c2410c}"
    "text.down{fill:#0b62a8;stroke:none}text.gate{fill:#15803d;stroke:none}text.up{fill:#c2410c;stroke:none}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}.title{fill:#eee}.grid{stroke:#444}.down{stroke:#6ab0f3}"
    ".gate{stroke:#6ed18e}.up{stroke:#f59a6a}text.down{fill:#6ab0f3}text.gate{fill:#6ed18e}text.up{fill:#f59a6a}}"
)


def chart(report: ModelReport, lens: Lens = Lens.cosine) -> str:
    """The whole drawing. Solid: the label's token rises. Dashed: another neuron's token rises under the same clamps."""
    title = "Share of labels whose token rises when the neuron is clamped"
    lines = [(view, site, report.by_layer(view, lens, site)) for view, site in LINES]
    drawn = [(view, site, groups) for view, site, groups in lines if groups]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
        *[_grid(share) for share in (0, 0.25, 0.5, 0.75, 1)],
        *[_layer(layer, report.layers) for layer in range(0, report.layers, max(1, report.layers // 6))],
        *[_line(view, groups, report.layers) for view, _, groups in drawn],
        *_names([(view, site, groups[-1].rises) for view, site, groups in drawn]),
        f'<text x="{LEFT + (WIDTH - LEFT - RIGHT) / 2:g}" y="{HEIGHT - 12}" text-anchor="middle">'
        f"layer of {report.model}, {lens} lens; dashed: another neuron’s token</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _line(view: View, groups: Sequence[Group], layers: int) -> str:
    def points(name: str) -> str:
        return " ".join(f"{_x(group.layer or 0, layers):.1f},{_y(getattr(group, name)):.1f}" for group in groups)

    return (
        f'<polyline class="{view} control" points="{points("control_rises")}"/>'
        f'<polyline class="{view}" points="{points("rises")}"/>'
    )


def _names(ends: Sequence[tuple[View, Site, float]]) -> list[str]:
    """Names at the right, apart from each other."""
    placed: list[str] = []
    floor = 0.0
    for view, site, rises in sorted(ends, key=lambda end: -end[2]):
        floor = max(_y(rises) + 4, floor + 18)
        placed.append(f'<text class="{view}" x="{WIDTH - RIGHT + 8}" y="{floor:.1f}">{view}, at {site}</text>')
    return placed


def _x(layer: int, layers: int) -> float:
    return LEFT + layer / max(1, layers - 1) * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _grid(share: float) -> str:
    y = _y(share)
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:g}" y2="{y:g}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{share:.0%}</text>'
    )


def _layer(layer: int, layers: int) -> str:
    return f'<text x="{_x(layer, layers):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{layer}</text>'
