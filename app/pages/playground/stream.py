"""A run of the playground as HTML, event by event as it streams.

Each event becomes one unnamed Server-Sent Event. The first holds the two empty columns; every later one holds
`<hx-partial>` elements that htmx puts where they belong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi.sse import format_sse_event

from app.html.templates import Fragment, fragment
from app.pages.playground.outcome import RUNS, Aside, RunSummary, sum_up
from neuronym.contract import (
    ClampDone,
    ClampEnd,
    ClampError,
    ClampEvent,
    ClampStart,
    ClampToken,
    ClampWaiting,
    ErrorAnswer,
)


@dataclass(frozen=True, kw_only=True)
class WaitingPart(Fragment):
    """The reason for waiting; read out by screen readers if `first`."""

    template = "playground/_stream.html"
    block = "waiting"
    waiting: ClampWaiting
    first: bool


@dataclass(frozen=True, kw_only=True)
class StartedPart(Fragment):
    """The columns of the texts, still empty."""

    template = "playground/_stream.html"
    block = "started"
    names: Sequence[str]
    aside: Aside | None


@dataclass(frozen=True, kw_only=True)
class TokenPart(Fragment):
    """A token; `twin` is the other run's token at the same place, None if there is none yet."""

    template = "playground/_stream.html"
    block = "token"
    token: ClampToken
    parts_here: bool
    twin: ClampToken | None


@dataclass(frozen=True, kw_only=True)
class DonePart(Fragment):
    """The end of one text; `reply` is the address of the chat that continues it."""

    template = "playground/_stream.html"
    block = "done"
    run: str
    reason: Literal["length", "stop"]
    count: int
    reply: str | None


@dataclass(frozen=True, kw_only=True)
class SummaryPart(Fragment):
    """The outcome of the run."""

    template = "playground/_stream.html"
    block = "summary"
    summary: RunSummary


@dataclass(frozen=True, kw_only=True)
class RefusedPart(Fragment):
    """A failure before the first token; `then`, where signing in would lead, is always None in a stream."""

    template = "playground/_stream.html"
    block = "refused"
    answer: ErrorAnswer
    then: str | None = None


@dataclass(frozen=True, kw_only=True)
class FailedPart(RefusedPart):
    """A failure after the first token, shown below the text so far."""

    block = "failed"


class RunWriter:
    """Writes the events of one run as HTML; remembers the tokens so far to mark where the runs part."""

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
        return format_sse_event(data_str=self.write(event))

    def write(self, event: ClampEvent) -> str:
        """Render the fragment that shows an event."""
        match event:
            case ClampWaiting():
                return self._waiting(event)
            case ClampStart():
                self.started = True
                return fragment(StartedPart(names=self.names, aside=self.aside))
            case ClampToken():
                return self._token(event)
            case ClampDone():
                return self._done(event)
            case ClampEnd():
                counts = {run: len(tokens) for run, tokens in self.tokens.items()}
                return fragment(SummaryPart(summary=sum_up(event, counts, self.parts, self.repeated, self.aside)))
            case ClampError():
                return fragment(FailedPart(answer=event) if self.started else RefusedPart(answer=event))

    def _waiting(self, event: ClampWaiting) -> str:
        """Show what the run waits for; announce the queue and the loading of the model once each."""
        kind = "queue" if event.position else "model"
        first = kind not in self.waited_for
        self.waited_for.add(kind)
        return fragment(WaitingPart(waiting=event, first=first))

    def _done(self, event: ClampDone) -> str:
        self.ended.add(event.run)
        self.repeated[event.run] = event.repeated
        reply = self.aside.reply(event.text) if self.aside else None
        count = len(self.tokens[event.run])
        return fragment(DonePart(run=event.run, reason=event.finish_reason, count=count, reply=reply))

    def _token(self, event: ClampToken) -> str:
        self.tokens[event.run].append(event)
        parts_here, twin = self._compare(event) if self.parts is None else (False, None)
        if parts_here:
            self.parts = event.index
        return fragment(TokenPart(token=event, parts_here=parts_here, twin=twin))

    def _compare(self, event: ClampToken) -> tuple[bool, ClampToken | None]:
        """Whether the runs part at this token, and the other run's token at the same place, None before it has one."""
        for name in self.names:
            if name != event.run:
                tokens = self.tokens[name]
                if len(tokens) > event.index:
                    twin = tokens[event.index]
                    return twin.token_id != event.token_id, twin
                return name in self.ended, None
        return False, None
