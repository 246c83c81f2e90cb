"""The lines of a mapping run as sentences: what is at work, what comes next, why it stopped."""

import pytest

from app.labelfile.mapping_status import Mapping, MappingStatus, name_views
from neuronym.contract import View

PLAN = """{"steps": [{"model": "chat", "views": ["down"]}, {"model": "chat", "views": ["up", "gate"]},
    {"model": "base", "views": ["up", "gate", "down"]}], "pair": "tuned"}"""
ALONE = '{"steps": [{"model": "one", "views": ["up"]}]}'
MAPPED = '{"model": "chat", "layers_done": %d, "layers": 30, "neurons_done": 1, "seconds": 0.5, "views": []}'


def status(*lines: str) -> MappingStatus:
    told = MappingStatus()
    told.begin("demo")
    for line in lines:
        assert told.read(line) is not None
    return told


def after(*lines: str) -> Mapping:
    mapping = status(*lines).current
    assert mapping is not None
    return mapping


@pytest.mark.parametrize(
    ("lines", "now", "later", "share"),
    [
        ([], "Opening demo, to map it.", "", 0),
        (
            [PLAN, '{"step": 0}'],
            "Mapping chat: its down view, the first layer.",
            "Next: its gate and up views, then base, then what differs between the two models of the pair.",
            0,
        ),
        ([PLAN, '{"step": 0}', MAPPED % 12], "Mapping chat: its down view, layer 13 of 30.", None, 12 / 30 / 6),
        (
            [PLAN, '{"step": 0}', MAPPED % 30, '{"building": "chat"}'],
            "Mapping chat: its down view, all layers; the names are made searchable.",
            None,
            1 / 6,
        ),
        (
            [PLAN, '{"step": 0}', MAPPED % 30, '{"building": "chat"}', '{"published": "a"}', '{"step": 1}'],
            "Mapping chat: its gate and up views, the first layer.",
            "Next: base, then what differs between the two models of the pair.",
            1 / 6,
        ),
        (
            [PLAN, '{"step": 2}', MAPPED % 15],
            "Mapping base: its gate, up and down views, layer 16 of 30.",
            "Next: what differs between the two models of the pair.",
            0.75,
        ),
        ([ALONE, '{"step": 0}'], "Mapping one: its up view, the first layer.", "", 0),
        ([PLAN, '{"step": 0}', '{"failed": "The disk is full."}'], "The mapping stopped: The disk is full.", "", 0),
    ],
)  # fmt: skip
def test_what_is_told(lines: list[str], now: str, later: str | None, share: float) -> None:
    mapping = after(*lines)
    assert mapping.now == now
    assert later is None or mapping.later == later
    assert mapping.share == pytest.approx(share)


def test_the_views_that_a_model_lacks() -> None:
    mapping = after(PLAN, '{"step": 1}')
    assert mapping.lacking("chat", [View.down]) == "Its gate and up views are being mapped and will be here soon."
    assert mapping.lacking("chat", [View.down, View.up]) == "Its gate view is being mapped and will be here soon."
    assert mapping.lacking("chat", list(View)) is None
    assert mapping.lacking("another", [View.down]) is None
    failed = after(PLAN, '{"step": 1}', '{"failed": "No."}')
    assert failed.lacking("chat", [View.down]) == "Its gate and up views are not mapped yet: the mapping stopped."


@pytest.mark.parametrize("text", ["", "Mapping", "[]", '{"steps": 3}', '{"other": 1}'])
def test_other_lines_tell_nothing(text: str) -> None:
    told = status(PLAN)
    before = told.current
    assert told.read(text) is None
    assert told.current == before


def test_a_run_that_ends_well_is_no_more() -> None:
    told = status(PLAN)
    told.end(0)
    assert told.current is None


@pytest.mark.parametrize(
    ("lines", "code", "why"),
    [
        ([PLAN, '{"failed": "The disk is full."}'], 1, "The disk is full."),
        ([PLAN], -9, "the system ended it, most often for want of memory. Start again, and it goes on where it was."),
        ([], 3, "it ended with code 3; the terminal of the server says why. Start again, and it goes on where it was."),
    ],
)
def test_a_run_that_fails_says_why(lines: list[str], code: int, why: str) -> None:
    told = status(*lines)
    told.end(code)
    assert told.current is not None and told.current.now == f"The mapping stopped: {why}"


def test_views_in_words() -> None:
    assert [name_views(views) for views in ([View.up], [View.down, View.gate], list(View))] == [
        "up view", "gate and down views", "gate, up and down views",
    ]  # fmt: skip
