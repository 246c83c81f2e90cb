"""Charts that stand alone as SVG files, in the reader's light or dark: frame, grid, ticks and texts."""

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from neuronym.chart.axis import Axis, Tick

LIGHT = (
    "text{font:13px system-ui,sans-serif;fill:#444}.title{font-size:15px;font-weight:600;fill:#111}.grid{stroke:#ddd}"
)
DARK = "text{fill:#bbb}.title{fill:#eee}.grid{stroke:#444}"
HALF_LINE = 4  # pixels from the middle of a text to the line it is written on
TEXT_HEIGHT = 18  # pixels from one line of text to the next


class Frame(NamedTuple):
    """The size of a drawing and the margins around its chart, in pixels."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def across(self, axis: Axis) -> Axis:
        """Lay an axis from the left to the right of the chart."""
        return axis.between(self.left, self.width - self.right)

    def up(self, axis: Axis) -> Axis:
        """Lay an axis from the bottom to the top of the chart."""
        return axis.between(self.height - self.bottom, self.top)


class Style(NamedTuple):
    """CSS of a chart's marks, added to that of frame and grid; `dark` applies to dark pages only."""

    light: str
    dark: str

    def __str__(self) -> str:
        return f"{LIGHT}{self.light}@media(prefers-color-scheme:dark){{{DARK}{self.dark}}}"


class Words(NamedTuple):
    """The title of a drawing, and the text below its chart."""

    title: str
    below: str


def draw(frame: Frame, words: Words, style: Style, ticks: tuple[list[Tick], list[Tick]], marks: Iterable[str]) -> str:
    """Draw a whole SVG file: `marks` (SVG elements) over a grid with the `ticks` of both axes, horizontal first."""
    across, up = ticks
    title, middle = escape(words.title), (frame.left + frame.width - frame.right) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'aria-label="{title}">',
        f"<style>{style}</style>",
        f'<text class="title" x="{frame.left}" y="24">{title}</text>',
        *[_grid_line(frame, tick) for tick in up],
        *[_tick_text(frame, tick) for tick in across],
        *marks,
        f'<text x="{middle:g}" y="{frame.height - 12}" text-anchor="middle">{escape(words.below)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def share_ticks(axis: Axis) -> list[Tick]:
    """The ticks of an axis of shares, as whole percentages."""
    return axis.ticks("{:.0%}".format)


def _grid_line(frame: Frame, tick: Tick) -> str:
    """A horizontal grid line with its text at the left."""
    y = tick.place
    return (
        f'<line class="grid" x1="{frame.left}" x2="{frame.width - frame.right}" y1="{y:g}" y2="{y:g}"/>'
        f'<text x="{frame.left - 8}" y="{y + HALF_LINE:g}" text-anchor="end">{tick.text}</text>'
    )


def _tick_text(frame: Frame, tick: Tick) -> str:
    """The text of a tick of the horizontal axis."""
    return f'<text x="{tick.place:.1f}" y="{frame.height - frame.bottom + 20}" text-anchor="middle">{tick.text}</text>'
