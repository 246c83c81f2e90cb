"""A stream of clamp events as fragments of a page."""

import ast
import json
import shlex
from collections.abc import Sequence

import pytest
from bs4 import BeautifulSoup

from app.pages.playground.outcome import Aside, GentlerRun, parting_place
from app.pages.playground.scripts import Scripts, scripts
from app.pages.playground.stream import RunWriter
from neuronym.contract import (
    ClampDone,
    ClampEnd,
    ClampError,
    ClampEvent,
    ClampRequest,
    ClampStart,
    ClampToken,
    ClampWaiting,
    TopToken,
    Watched,
)

END = ClampEnd(
    watch=[Watched(token_id=1, token=" dog", baseline=-3.0, clamped=-1.0, delta=2.0)],
    seed=0,
    model="tiny",
    seconds=1.25,
)


def token(run: str, index: int, token_id: int, text: str = "x") -> ClampToken:
    """One token of one run."""
    top = [TopToken(token_id=token_id, text=text, logprob=-0.5), TopToken(token_id=99, text="</span>", logprob=-2.0)]
    return ClampToken.model_validate(
        {"run": run, "index": index, "token_id": token_id, "text": text, "logprob": -0.5, "top": top}
    )


def fragments(events: Sequence[ClampEvent]) -> list[BeautifulSoup]:
    """The fragments of a stream."""
    writer = RunWriter()
    return [BeautifulSoup(writer.write(event), "html.parser") for event in events]


@pytest.mark.parametrize(
    ("baseline", "clamped", "place"), [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1], [1, 2], 1), ([], [], None)]
)
def test_where_two_runs_part(baseline: list[int], clamped: list[int], place: int | None) -> None:
    assert parting_place({"baseline": baseline, "clamped": clamped}) == place


def test_what_is_waited_for_is_said_in_place_and_announced_once_each() -> None:
    steps = [(3, None), (2, None), (1, None), (0, 0.0), (0, 0.404), (0, 0.9)]
    pages = fragments([ClampWaiting(model="tiny", position=place, loading=share) for place, share in steps])
    for page in pages:
        (partial,) = page.find_all("hx-partial")
        assert partial["hx-target"] == "#pending"
    assert [page.text for page in pages] == [
        *("Waiting: 3rd in the queue", "Waiting: 2nd in the queue", "Waiting: 1st in the queue"),
        *("Loading tiny: 0%", "Loading tiny: 40%", "Loading tiny: 90%"),
    ]
    assert [bool(page.select("[data-announce]")) for page in pages] == [True, False, False, True, False, False]


def test_a_refusal_before_the_start_takes_the_place_of_the_texts() -> None:
    (page,) = fragments([ClampError(error="No.", errors=["No."], status=422)])
    assert page.select_one(".problem") and not page.select("hx-partial")


def test_the_first_event_brings_the_two_columns() -> None:
    (page,) = fragments([ClampStart(model="tiny", seed=0, prompt_tokens=[1, 2])])
    assert page.select_one("#baseline-text") and page.select_one("#clamped-text")
    assert not page.select("hx-partial")


def test_each_token_goes_to_its_column_and_nothing_stands_between() -> None:
    (page,) = fragments([token("clamped", 0, 1, " dog")])
    (partial,) = page.find_all("hx-partial")
    assert (partial["hx-target"], partial["hx-swap"]) == ("#clamped-text", "beforeend")
    assert [child.name for child in partial.children] == ["span"]
    assert partial.span["id"] == "clamped-0"
    assert "60.7%" in partial.select_one(".tip").text


def test_both_tokens_are_marked_where_the_runs_part() -> None:
    pages = fragments(
        [token("baseline", 0, 1), token("clamped", 0, 1), token("baseline", 1, 2), token("clamped", 1, 3)]
    )
    assert not any(page.select(".parts") for page in pages[:3])
    assert [part["id"] for part in pages[3].select(".parts")] == ["baseline-1", "clamped-1"]
    again = fragments(
        [token("baseline", 0, 1), token("clamped", 0, 2), token("baseline", 1, 3), token("clamped", 1, 4)]
    )
    assert [part["id"] for part in again[3].select(".parts")] == []


def test_a_run_that_goes_on_alone_parts_there() -> None:
    pages = fragments(
        [
            token("baseline", 0, 1),
            token("clamped", 0, 1),
            ClampDone(run="baseline", text="x", finish_reason="stop"),
            token("clamped", 1, 2),
        ]
    )
    assert [part["id"] for part in pages[3].select(".parts")] == ["clamped-1"]


def test_the_summary_says_in_a_sentence_what_changed() -> None:
    pages = fragments([token("baseline", 0, 1), token("clamped", 0, 2), END])
    sentence = pages[2].select_one("[data-announce]")
    assert sentence is not None
    assert " ".join(sentence.text.split()) == (
        "Finished in 1.2 s. The two part at token 1. Probability of “dog” as the next token: 36.8% instead of 4.98%."
    )


def test_a_failure_is_a_sentence_in_place() -> None:
    start = ClampStart(model="tiny", seed=0, prompt_tokens=[1])
    _, page = fragments([start, ClampError(error="Gone.", errors=["Gone."], status=503)])
    problem = page.select_one("hx-partial .problem")
    assert problem is not None and problem.text.strip() == "Gone."


def test_generated_markup_stays_text() -> None:
    writer = RunWriter()
    text = "</span><script>alert(1)</script><hx-partial hx-target='body'>"
    written = writer.write(token("clamped", 0, 1, text))
    assert "<script" not in written
    assert written.count("<hx-partial") == 1


def test_a_line_break_survives_the_event_stream() -> None:
    sent = RunWriter()(token("clamped", 0, 1, "one\ntwo")).decode()
    assert all(line.startswith("data: ") for line in sent.strip().split("\n"))
    assert "\n".join(line.removeprefix("data: ") for line in sent.strip().split("\n")).count("one\ntwo") == 1


def done(run: str, repeated: float) -> ClampDone:
    """The end of one run."""
    return ClampDone.model_validate({"run": run, "text": "x", "finish_reason": "length", "repeated": repeated})


@pytest.mark.parametrize(("baseline", "clamped", "shown"), [(0.0, 0.5, True), (0.6, 0.5, False), (0.0, 0.1, False)])
def test_a_text_in_circles_is_said_with_a_gentler_link(baseline: float, clamped: float, shown: bool) -> None:
    writer = RunWriter(
        aside=Aside(Scripts("curl x", "print(1)"), GentlerRun("/playground?clamp=L1N1:up:set:5", "L1N1 at 5"))
    )
    start = BeautifulSoup(writer.write(ClampStart(model="tiny", seed=0, prompt_tokens=[1])), "html.parser")
    assert [script.text for script in start.select("pre")] == ["curl x", "print(1)"]
    for event in (done("baseline", baseline), done("clamped", clamped)):
        writer.write(event)
    end = BeautifulSoup(writer.write(END), "html.parser")
    link = end.select_one(".circles a[href='/playground?clamp=L1N1:up:set:5']")
    assert (link.text if link else None) == ("Try L1N1 at 5" if shown else None)


def test_an_answer_can_be_replied_to_where_there_is_an_address_for_it() -> None:
    writer = RunWriter(aside=Aside(Scripts("", ""), None, lambda answer: f"/playground?chat={answer}"))
    writer.write(ClampStart(model="tiny", seed=0, prompt_tokens=[1]))
    page = BeautifulSoup(writer.write(done("clamped", 0.0)), "html.parser")
    link = page.select_one("hx-partial a")
    assert link is not None
    assert (link["href"], link["aria-label"]) == ("/playground?chat=x", "Reply to the clamped answer")
    without = BeautifulSoup(RunWriter().write(done("clamped", 0.0)), "html.parser")
    assert not without.select("a")


def test_a_run_as_a_script_survives_quotes() -> None:
    request = ClampRequest(model="tiny", prompt='it\'s "a" $dog\n`x`', max_new_tokens=3)
    written = scripts(request, "http://127.0.0.1:8000/")
    words = shlex.split(written.curl)
    assert words[2] == "http://127.0.0.1:8000/api/v1/clamp"
    assert json.loads(words[words.index("-d") + 1]) == {"model": "tiny", "prompt": request.prompt, "max_new_tokens": 3}
    assert (
        request.prompt
        in json.loads(ast.literal_eval(written.python.split("json.loads(")[1].split(")\ncall")[0]))["prompt"]
    )
