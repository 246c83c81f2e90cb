"""The drawing of a trial in the documents is what the command draws."""

import re
from typing import Any
from xml.etree.ElementTree import Element

from tests.worker.drawings import DOCS, SVG, elements, shares_along
from worker.steer_test.chart import chart
from worker.steer_test.report import SettingResult, TrialReport

DRAWING = DOCS / "images/steer-dog.svg"


def read_result(drawing: str, dot: Element) -> SettingResult:
    """Read a setting's result from its dot and the dot's title."""
    title = re.fullmatch(r"(.*), (\w+): .* (\d+)% both", dot.findtext(f"{SVG}title", ""))
    assert title
    (readable,) = shares_along(drawing, [float(dot.get("cx", ""))], upright=False)
    (named,) = shares_along(drawing, [float(dot.get("cy", ""))], upright=True)
    positions: Any = title[2]  # one of the three, or SettingResult refuses it
    return SettingResult(
        name=title[1],
        positions=positions,
        both=int(title[3]) / 100,
        named=named,
        readable=readable,
        baseline_named=0,
        clamps=[],
        nats_below=0,
        repeated=0,
        examples=[],
    )


def test_the_drawing_of_the_documents_is_what_the_command_draws() -> None:
    drawing = DRAWING.read_text()
    choosing, held_out = (
        [read_result(drawing, dot) for dot in elements(drawing, "circle", kind=kind)] for kind in ("tried", "held")
    )
    (title,) = elements(drawing, "text", kind="title")
    named = re.match("Answers that name (.*), and", title.text or "")
    assert named and choosing and held_out
    report = TrialReport(
        model="m",
        words=named[1].split(", "),
        kind="animal",
        prompts=24,
        length=32,
        nominees=[],
        choosing=choosing,
        held_out=held_out,
        best=held_out[0],
        seconds=0,
    )
    assert chart(report) == drawing
