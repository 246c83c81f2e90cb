"""A trial's frontier as an SVG: how many answers name the concept against how many can be read."""

from html import escape

from neuronym.chart.axis import Axis
from worker.steer_test.report import SettingResult, TrialReport
from worker.svg import Frame, Style, Words, draw, share_ticks

FRAME = Frame(width=640, height=420, left=70, right=20, top=50, bottom=60)
ACROSS, UP = FRAME.across(Axis(0, 1, 0.2)), FRAME.up(Axis(0, 1, 0.2))
STYLE = Style(
    light=".tried{fill:none;stroke:#888}.held{fill:#0b62a8}.plain{fill:#c2410c}",
    dark=".held{fill:#6ab0f3}",
)


def chart(report: TrialReport) -> str:
    """Draw the SVG file; circles are settings on prompts for choosing, discs the finalists on held-out prompts."""
    words = Words(
        title=f"Answers that name {', '.join(report.words)}, and answers that can be read",
        below="share of answers that can be read",
    )
    marks = [
        *[_dot(result, "tried", 4) for result in report.choosing],
        *[_dot(result, "held", 6) for result in report.held_out],
        f'<rect class="plain" x="{ACROSS.place(1) - 5:g}" y="{UP.place(report.best.baseline_named) - 5:g}" '
        'width="10" height="10"><title>without clamps</title></rect>',
        f'<text x="{-UP.place(0.5):g}" y="18" text-anchor="middle" transform="rotate(-90)">share that name it</text>',
        f'<text x="{FRAME.left}" y="42">○ while choosing  ● {report.prompts} held-out prompts  ■ without clamps</text>',
    ]
    return draw(FRAME, words, STYLE, (share_ticks(ACROSS), share_ticks(UP)), marks)


def _dot(result: SettingResult, kind: str, radius: int) -> str:
    title = (
        f"{result.name}, {result.positions}: "
        f"{result.named:.0%} named, {result.readable:.0%} readable, {result.both:.0%} both"
    )
    place = f'cx="{ACROSS.place(result.readable):g}" cy="{UP.place(result.named):g}" r="{radius}"'
    return f'<circle class="{kind}" {place}><title>{escape(title)}</title></circle>'
