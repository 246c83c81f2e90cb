"""Event streams to clients that read slowly, leave or wait: resources are closed, and silence is broken."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.web import sse
from app.web.sse import EventStream
from tests.serving import ask, served, until


class Ticks:
    """Events that never end: numbers, `pause` seconds apart."""

    def __init__(self, pause: float) -> None:
        self.pause = pause
        self.yielded = 0
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[int]:
        while True:
            await asyncio.sleep(self.pause)
            self.yielded += 1
            yield self.yielded

    async def aclose(self) -> None:
        self.closed += 1


def site(ticks: Ticks, size: int = 0) -> Starlette:
    """A site that streams the ticks, each as an event of at least `size` bytes."""

    async def stream(_: Request) -> Response:
        return EventStream(ticks, lambda number: f"data: {number}{'.' * size}\n\n".encode())

    return Starlette(routes=[Route("/", stream)])


def test_a_client_that_leaves_while_nothing_comes() -> None:
    ticks = Ticks(pause=600)
    with served(site(ticks)) as address:
        with ask(address) as connection:
            connection.recv(100)
        until(lambda: ticks.closed)
    assert [ticks.closed, ticks.yielded] == [1, 0]


def test_a_client_that_does_not_read_and_leaves() -> None:
    """The stream is then held at an event that cannot be sent, not at one that is awaited."""
    ticks = Ticks(pause=0)
    with served(site(ticks, size=10**6)) as address:
        with ask(address):
            until(lambda: ticks.yielded > 3)
            until(lambda: _settled(ticks))
            assert not ticks.closed
        until(lambda: ticks.closed == 1)


def _settled(ticks: Ticks) -> bool:
    before = ticks.yielded
    asyncio.run(asyncio.sleep(0.2))
    return ticks.yielded == before


def test_silence_is_broken_by_comments_and_no_event_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PING_SECONDS", 0.02)
    with served(site(Ticks(pause=0.1))) as address, httpx2.stream("GET", address) as response:
        lines = []
        for line in response.iter_lines():
            lines.append(line)
            if line == "data: 3":
                break
    assert [line for line in lines if line.startswith("data")] == ["data: 1", "data: 2", "data: 3"]
    assert lines.count(": ping") >= 3
