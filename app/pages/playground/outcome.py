"""The outcome of a run of the playground, and what is shown beside it.

Knows answers; draws nothing.

"""

from collections.abc import Callable, Mapping
from math import exp
from typing import Literal, NamedTuple

from app.pages.playground.scripts import Scripts
from neuronym.contract import ClampAnswer, ClampEnd, GeneratedText, Watched

Run = Literal["baseline", "clamped"]

RUNS: tuple[Run, ...] = ("baseline", "clamped")
SEEN = 0.0005  # the least change of a probability that is worth a sentence
REPEATED = 0.2  # share of repeated 4-grams above which the page says that a text goes round in circles


def parting_place(runs: Mapping[str, list[int]]) -> int | None:
    """The first place where two runs have different tokens, or where only one goes on; None if they are equal."""
    baseline, clamped = (runs.get(run, []) for run in RUNS)
    for place, (baseline_id, clamped_id) in enumerate(zip(baseline, clamped, strict=False)):
        if baseline_id != clamped_id:
            return place
    return None if len(baseline) == len(clamped) else min(len(baseline), len(clamped))


def _no_reply(_: str) -> None:
    return None


class GentlerRun(NamedTuple):
    """The same run with gentler values: its address, and the changed values in words."""

    address: str
    words: str


class Aside(NamedTuple):
    """What is shown beside a run: the run as a script, and the same run with gentler values.

    `reply` gives the address of the chat that continues an answer, None where there is none.
    """

    scripts: Scripts
    gentler: GentlerRun | None
    reply: Callable[[str], str | None] = _no_reply


class RunSummary(NamedTuple):
    """The outcome of a run in figures.

    `most` is the largest change of a watched token, `counts` are the numbers of tokens by run, `parts` is where the
    runs part, `strongest` the token whose probability changed most. `repeated` is the share of repeated text in the
    clamped run, None where it does not go round in circles.
    """

    watch: list[Watched]
    most: float
    seconds: float
    counts: Mapping[str, int]
    parts: int | None
    strongest: Watched | None
    repeated: float | None
    gentler: GentlerRun | None


class FinishedRun(NamedTuple):
    """A run that has ended; `replies` are the addresses of the chats that continue it, by run."""

    names: list[Run]
    runs: Mapping[Run, GeneratedText]
    summary: RunSummary
    parts: int | None
    aside: Aside | None
    replies: Mapping[Run, str | None]


def finished_run(answer: ClampAnswer, aside: Aside | None = None) -> FinishedRun:
    """A finished run from its whole answer, as `_run.html` shows it."""
    ids: dict[str, list[int]] = {run: [token.token_id for token in text.tokens] for run, text in answer.runs.items()}
    parts = parting_place(ids) if len(ids) == 2 else None
    counts = {run: len(tokens) for run, tokens in ids.items()}
    return FinishedRun(
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
) -> RunSummary:
    """Sum up a run from its whole answer, or from the last event of its stream."""
    return RunSummary(
        watch=end.watch,
        most=max((abs(watched.delta or 0.0) for watched in end.watch), default=0.0),
        seconds=end.seconds,
        counts=counts,
        parts=parts,
        strongest=_strongest(end.watch),
        repeated=_repeated_share(repeated),
        gentler=aside.gentler if aside else None,
    )


def _repeated_share(repeated: Mapping[str, float]) -> float | None:
    """The share of repeated text in the clamped run; None where it is small, or no larger than in the baseline."""
    share = repeated.get("clamped", 0.0)
    return share if share > REPEATED and share > repeated.get("baseline", 0.0) else None


def _strongest(watch: list[Watched]) -> Watched | None:
    """The token whose probability changed most; None where no change is worth a sentence."""
    moved = {abs(exp(token.clamped) - exp(token.baseline)): token for token in watch if token.baseline is not None}
    return moved[max(moved)] if moved and max(moved) >= SEEN else None
