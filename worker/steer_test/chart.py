"""A trial's frontier as an SVG: how many answers name the concept against how many can be read."""

from html import escape

from worker.steer_test.report import Judged, TrialReport

WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 60
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#444}.title{font-size:15px;font-weight:600;fill:#111}"
    ".grid{stroke:#ddd}.tried{fill:none;stroke:#888}.held{fill:#0b62a8}.plain{fill:#c2410c}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}.title{fill:#eee}.grid{stroke:#444}.held{fill:#6ab0f3}}"
)


def chart(report: TrialReport) -> str:
    """The whole drawing; circles are settings on prompts for choosing, discs the finalists on held-out prompts."""
    title = f"Answers that name {', '.join(report.words)}, and answers that can be read"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" ',
        f'aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>',
        *[line for share in (0, 0.2, 0.4, 0.6, 0.8, 1) for line in _grid(share)],
        *[_dot(one, "tried", 4) for one in report.choosing],
        *[_dot(one, "held", 6) for one in report.held_out],
        f'<rect class="plain" x="{_x(1) - 5:g}" y="{_y(report.best.baseline_named) - 5:g}" width="10" height="10">'
        "<title>without clamps</title></rect>",
        f'<text x="{_x(0.5):g}" y="{HEIGHT - 14}" text-anchor="middle">share of answers that can be read</text>',
        f'<text x="{-_y(0.5):g}" y="18" text-anchor="middle" transform="rotate(-90)">share that name it</text>',
        f'<text x="{LEFT}" y="42">○ while choosing  ● {report.prompts} held-out prompts  ■ without clamps</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _grid(share: float) -> list[str]:
    x, y = _x(share), _y(share)
    return [
        f'<line class="grid" x1="{_x(0):g}" x2="{_x(1):g}" y1="{y:g}" y2="{y:g}"/>',
        f'<text x="{LEFT - 8}" y="{y + 4:g}" text-anchor="end">{share:.0%}</text>',
        f'<text x="{x:g}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{share:.0%}</text>',
    ]


def _dot(one: Judged, kind: str, radius: int) -> str:
    said = f"{one.name}, {one.positions}: {one.named:.0%} named, {one.readable:.0%} readable, {one.both:.0%} both"
    place = f'cx="{_x(one.readable):g}" cy="{_y(one.named):g}" r="{radius}"'
    return f'<circle class="{kind}" {place}><title>{escape(said)}</title></circle>'
