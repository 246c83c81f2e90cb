"""Requests sent at times that were fixed beforehand, or one after the other, and what their waiting comes to.

Waiting is counted from when a request was due: a server that stalls makes those wait, too, who come meanwhile.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from time import perf_counter
from typing import Generic, NamedTuple, TypeVar

PEOPLE = 16
GAP = (0.2, 0.8)  # seconds between two requests of one who types; the page waits for 0.2 without a letter
RATE = PEOPLE / (sum(GAP) / 2)  # requests a second

Asked = TypeVar("Asked")


class Visit(NamedTuple, Generic[Asked]):
    """A request and its answer's status; times are in seconds of one clock."""

    asked: Asked
    status: int
    due: float
    sent: float
    done: float

    @property
    def waited(self) -> float:
        """Seconds from when the request was due to the last byte of its answer."""
        return self.done - self.due

    @property
    def late(self) -> float:
        """Seconds by which the client itself was late."""
        return self.sent - self.due


def due_times(count: int, seed: int = 0) -> list[float]:
    """The first seconds at which one of PEOPLE sends a request, in order; each of them pauses for a random GAP."""
    random = Random(seed)
    each = math.ceil(2 * count / PEOPLE) + 2
    times: list[float] = []
    for _ in range(PEOPLE):
        at = random.uniform(0, GAP[1])
        for _ in range(each):
            times.append(at)
            at += random.uniform(*GAP)
    return sorted(times)[:count]


async def visit_at(
    ask: Callable[[Asked], Awaitable[int]], questions: Sequence[Asked], times: Sequence[float]
) -> list[Visit[Asked]]:
    """Ask each question at its time, whether or not those before are answered; `ask` returns the status."""
    began = perf_counter()
    visits = []
    async with asyncio.TaskGroup() as group:
        for question, at in zip(questions, times, strict=True):
            await asyncio.sleep(began + at - perf_counter())
            visits.append(group.create_task(_visit(ask, question, began + at)))
    return [visit.result() for visit in visits]


async def visit_in_turn(ask: Callable[[Asked], Awaitable[int]], questions: Iterable[Asked]) -> list[Visit[Asked]]:
    """Ask each question when the one before is answered, as a single client does."""
    return [await _visit(ask, question, perf_counter()) for question in questions]


async def _visit(ask: Callable[[Asked], Awaitable[int]], question: Asked, due: float) -> Visit[Asked]:
    sent = perf_counter()
    status = await ask(question)
    return Visit(question, status, due, sent, perf_counter())


def percentile(values: Iterable[float], share: float) -> float:
    """The least of the values that at least this share of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def rate(visits: Sequence[Visit[Asked]]) -> float:
    """Requests sent a second."""
    return (len(visits) - 1) / (visits[-1].sent - visits[0].sent)
