"""A run of the playground as HTML: finished, or event by event as it streams.

Each event becomes one unnamed Server-Sent Event. The first holds the two empty columns; every later one holds
`<hx-partial>` elements that htmx puts where they belong.
"""

from collections.abc import Callable, Mapping
from math import exp
from typing import Any, NamedTuple

from fastapi.sse import format_sse_event

from app.html.templates import fragment
from app.pages.playground.scripts import Scripts
from neuronym.contract import (
    ClampAnswer,
    ClampDone,
    ClampEnd,
    ClampError,
    ClampEvent,
    ClampStart,
    ClampToken,
    ClampWaiting,
    Watched,
)

RUNS = ("baseline", "clamped")
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


def finished(answer: ClampAnswer, aside: Aside | None = None) -> dict[str, Any]:
    """The context of `playground/_run.html` for a run that has ended."""
    ids: dict[str, list[int]] = {run: [token.token_id for token in text.tokens] for run, text in answer.runs.items()}
    parts = parting(ids) if len(ids) == 2 else None
    return {
        "names": [run for run in RUNS if run in answer.runs],
        "runs": answer.runs,
        "summary": _summary(answer, {run: len(tokens) for run, tokens in ids.items()}, parts)
        | _degenerate({run: text.repeated for run, text in answer.runs.items()}, aside),
        "parts": parts,
        "aside": aside,
        "replies": {run: aside.reply(text.text) if aside else None for run, text in answer.runs.items()},
    }


def _summary(end: ClampAnswer | ClampEnd, counts: Mapping[str, int], parts: int | None) -> dict[str, Any]:
    return {
        "watch": end.watch,
        "most": max((abs(watched.delta or 0.0) for watched in end.watch), default=0.0),
        "seconds": end.seconds,
        "counts": counts,
        "parts": parts,
        "strongest": _strongest(end.watch),
    }


def _degenerate(repeated: Mapping[str, float], aside: Aside | None) -> dict[str, Any]:
    """Whether the clamped text goes round in circles, more than the baseline does anyway."""
    share = repeated.get("clamped", 0.0)
    circles = share > REPEATED and share > repeated.get("baseline", 0.0)
    return {"repeated": share if circles else None, "gentler": aside.gentler if aside else None}


def _strongest(watch: list[Watched]) -> Watched | None:
    """The token whose probability moved most; a large change of next to nothing is next to nothing."""
    moved = {abs(exp(one.clamped) - exp(one.baseline)): one for one in watch if one.baseline is not None}
    return moved[max(moved)] if moved and max(moved) >= SEEN else None


class Unrolling:
    """Writes the events of one stream; remembers the tokens so far to mark where the runs part."""

    def __init__(self, baseline: bool = True, aside: Aside | None = None) -> None:
        self.aside = aside
        self.repeated: dict[str, float] = {}
        self.names = list(RUNS if baseline else RUNS[1:])
        self.tokens: dict[str, list[ClampToken]] = {name: [] for name in self.names}
        self.ended: set[str] = set()
        self.parts: int | None = None
        self.waited_for: set[str] = set()
        self.started = False

    def __call__(self, event: ClampEvent) -> bytes:
        """One event of the worker as one event of the page."""
        return format_sse_event(data_str=self.written(event))

    def written(self, event: ClampEvent) -> str:
        """The fragment that shows an event."""
        match event:
            case ClampWaiting():
                return self._waiting(event)
            case ClampStart():
                self.started = True
                return _part("started", names=self.names, aside=self.aside)
            case ClampToken():
                return self._token(event)
            case ClampDone():
                return self._done(event)
            case ClampEnd():
                counts = {run: len(tokens) for run, tokens in self.tokens.items()}
                summary = _summary(event, counts, self.parts) | _degenerate(self.repeated, self.aside)
                return _part("summary", summary=summary)
            case ClampError():
                return _part("failed" if self.started else "refused", answer=event)

    def _waiting(self, event: ClampWaiting) -> str:
        """What is waited for; announced once for the queue and once for the model, however often it changes."""
        kind = "queue" if event.position else "model"
        first = kind not in self.waited_for
        self.waited_for.add(kind)
        return _part("waiting", waiting=event, first=first)

    def _done(self, event: ClampDone) -> str:
        self.ended.add(event.run)
        self.repeated[event.run] = event.repeated
        reply = self.aside.reply(event.text) if self.aside else None
        count = len(self.tokens[event.run])
        return _part("done", run=event.run, reason=event.finish_reason, count=count, reply=reply)

    def _token(self, event: ClampToken) -> str:
        self.tokens[event.run].append(event)
        parts_here, twin = self._compare(event) if self.parts is None else (False, None)
        if parts_here:
            self.parts = event.index
        return _part("token", token=event, parts_here=parts_here, twin=twin)

    def _compare(self, event: ClampToken) -> tuple[bool, ClampToken | None]:
        """Whether the runs part at this token, and the other run's token at the same place, if it has one."""
        for name in self.names:
            if name != event.run:
                tokens = self.tokens[name]
                if len(tokens) > event.index:
                    twin = tokens[event.index]
                    return twin.token_id != event.token_id, twin
                return name in self.ended, None
        return False, None


def _part(block: str, **context: Any) -> str:
    return fragment("playground/_stream.html", context, block)
