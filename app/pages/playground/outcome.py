"""What a run of the playground came to, and what stands beside it.

Knows answers; draws nothing.
"""

from collections.abc import Callable, Mapping
from math import exp
from typing import Literal, NamedTuple

from app.pages.playground.scripts import Scripts
from neuronym.contract import ClampAnswer, ClampEnd, GeneratedText, Watched

Run = Literal["baseline", "clamped"]

RUNS: tuple[Run, ...] = ("baseline", "clamped")
SEEN = 0.0005  # change of a probability that is worth a sentence
REPEATED = 0.2  # share of repeated 4-grams above which a text is said to go round in circles


def parting(runs: Mapping[str, list[int]]) -> int | None:
    """Where the two runs part: the first place with different tokens, or where only one goes on."""
    baseline, clamped = (runs.get(run, []) for run in RUNS)
    for place, (one, other) in enumerate(zip(baseline, clamped, strict=False)):
        if one != other:
            return place
    return None if len(baseline) == len(clamped) else min(len(baseline), len(clamped))


def _no_reply(_: str) -> None:
    return None


class Gentler(NamedTuple):
    """The same run with gentler values: its address, and what it changes in words."""

    address: str
    words: str


class Aside(NamedTuple):
    """What stands beside a run: itself as a script, and the same with gentler values.

    `reply` gives the address of the chat that goes on from an answer, None where there is none.
    """

    scripts: Scripts
    gentler: Gentler | None
    reply: Callable[[str], str | None] = _no_reply


class Summary(NamedTuple):
    """What a run came to; `most` is the largest change of a watched token, `counts` are tokens by run.

    `repeated` is the share of the clamped text that goes round in circles, None where it does not.
    """

    watch: list[Watched]
    most: float
    seconds: float
    counts: Mapping[str, int]
    parts: int | None
    strongest: Watched | None
    repeated: float | None
    gentler: Gentler | None


class Finished(NamedTuple):
    """A run that has ended; `replies` are by run the addresses of the chats that go on from it."""

    names: list[Run]
    runs: Mapping[Run, GeneratedText]
    summary: Summary
    parts: int | None
    aside: Aside | None
    replies: Mapping[Run, str | None]


def finished(answer: ClampAnswer, aside: Aside | None = None) -> Finished:
    """A run as `_run.html` shows it."""
    ids: dict[str, list[int]] = {run: [token.token_id for token in text.tokens] for run, text in answer.runs.items()}
    parts = parting(ids) if len(ids) == 2 else None
    counts = {run: len(tokens) for run, tokens in ids.items()}
    return Finished(
        names=[run for run in RUNS if run in answer.runs],
        runs=answer.runs,
        summary=sum_up(answer, counts, parts, {run: text.repeated for run, text in answer.runs.items()}, aside),
        parts=parts,
        aside=aside,
        replies={run: aside.reply(text.text) if aside else None for run, text in answer.runs.items()},
    )


def sum_up(
    end: ClampAnswer | ClampEnd,
    counts: Mapping[str, int],
    parts: int | None,
    repeated: Mapping[str, float],
    aside: Aside | None,
) -> Summary:
    """Sum a run up: from its whole answer, or from the last event of its stream."""
    return Summary(
        watch=end.watch,
        most=max((abs(watched.delta or 0.0) for watched in end.watch), default=0.0),
        seconds=end.seconds,
        counts=counts,
        parts=parts,
        strongest=_strongest(end.watch),
        repeated=_circles(repeated),
        gentler=aside.gentler if aside else None,
    )


def _circles(repeated: Mapping[str, float]) -> float | None:
    """The repeated share of the clamped text where it goes round in circles, more than the baseline does anyway."""
    share = repeated.get("clamped", 0.0)
    return share if share > REPEATED and share > repeated.get("baseline", 0.0) else None


def _strongest(watch: list[Watched]) -> Watched | None:
    """The token whose probability moved most; a large change of next to nothing is next to nothing."""
    moved = {abs(exp(one.clamped) - exp(one.baseline)): one for one in watch if one.baseline is not None}
    return moved[max(moved)] if moved and max(moved) >= SEEN else None
