"""Server-Sent Events out of the app.

Knows no question: events are whatever an iterator yields, written by whatever writes them.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Generic, Protocol, TypeVar

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
Event = TypeVar("Event", covariant=True)

PING_SECONDS = 15.0  # how long a proxy may hear nothing


class Events(Protocol[Event]):
    """A stream that holds something open until it is closed."""

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def aclose(self) -> None: ...


class EventStream(EventSourceResponse, Generic[Event]):
    """Sends events, each written by `render` as one whole Server-Sent Event, and closes them when the client leaves."""

    def __init__(self, events: Events[Event], render: Callable[[Event], bytes]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        self._events = events
        self._written = _written(events, render)
        super().__init__(self._written, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._written.aclose()
            await self._events.aclose()


async def _written(events: Events[Event], render: Callable[[Event], bytes]) -> AsyncGenerator[bytes]:
    """Events as bytes, with a comment whenever there has been none for a while."""
    coming = aiter(events)
    pending: asyncio.Task[Event] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(_next(coming))
            done, _ = await asyncio.wait({pending}, timeout=PING_SECONDS)
            if not done:
                yield KEEPALIVE_COMMENT
                continue
            ended, pending = pending, None
            yield render(ended.result())
    except _End:
        return
    finally:
        if pending is not None:
            pending.cancel()


class _End(Exception):
    """Stands in for StopAsyncIteration, which cannot leave a task."""


async def _next(coming: AsyncIterator[T]) -> T:
    try:
        return await anext(coming)
    except StopAsyncIteration:
        raise _End from None
