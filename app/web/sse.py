"""Streams Server-Sent Events to clients, with comments that keep the connection open.

Independent of what is streamed: an iterator yields the events, and a function renders each as bytes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Generic, Protocol, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
Event = TypeVar("Event", covariant=True)

PING_SECONDS = 15.0  # of silence until a comment is sent, lest a proxy close the connection


class Events(Protocol[Event]):
    """An iterator of events that holds a resource, such as a connection to the worker, until `aclose`."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def aclose(self) -> None: ...


class EventStream(EventSourceResponse, Generic[Event]):
    """Sends events, each written by `render` as one whole Server-Sent Event, and closes them when the client leaves."""

    def __init__(self, events: Events[Event], render: Callable[[Event], bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._events = events
        self._chunks = _render_events(events, render)
        super().__init__(self._chunks, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()
            await self._events.aclose()


async def _render_events(events: Events[Event], render: Callable[[Event], bytes]) -> AsyncGenerator[bytes]:
    """Yield events as bytes, and a comment whenever PING_SECONDS have passed without an event."""
    iterator = aiter(events)
    pending: asyncio.Task[Event] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(_next(iterator))
            done, _ = await asyncio.wait({pending}, timeout=PING_SECONDS)
            if not done:
                yield KEEPALIVE_COMMENT
                continue
            ended, pending = pending, None
            yield render(ended.result())
    except _StreamEnd:
        return
    finally:
        if pending is not None:
            pending.cancel()


class _StreamEnd(Exception):
    """Stands in for StopAsyncIteration, which cannot leave a task."""


async def _next(iterator: AsyncIterator[T]) -> T:
    try:
        return await anext(iterator)
    except StopAsyncIteration:
        raise _StreamEnd from None
