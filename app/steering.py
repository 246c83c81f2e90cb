"""The client of the worker service: checks a clamp against the label file, forwards it, and hands back what comes.

Knows the worker's address and the label file; knows nothing of torch or of HTML.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.sse import EventSourceResponse

from app.catalog import LabelFile
from app.contract import ClampAnswer, ClampEvent, ClampRequest, WorkerStatus


class Steering:
    """A connection pool to one worker service."""

    def __init__(self, url: str | None) -> None:
        self.url = url

    async def status(self) -> WorkerStatus:
        """What the worker says of itself; WorkerAway when it cannot be reached."""
        raise NotImplementedError


class ClampStream:
    """Events of a running clamp. Whoever opened it must `aclose` it, read to its end or not: that stops the worker."""

    def __aiter__(self) -> AsyncIterator[ClampEvent]:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Stop the worker's generation."""


class EventStream(EventSourceResponse):
    """Sends a ClampStream as Server-Sent Events, each written by `render`, and closes it when the client leaves.

    `render` returns one whole event; `app.api.as_json_event` is one, a page has its own (use
    `fastapi.sse.format_sse_event`).
    """

    def __init__(self, events: ClampStream, render: Callable[[ClampEvent], bytes]) -> None:
        raise NotImplementedError


async def clamp(labels: LabelFile, worker: Steering, request: ClampRequest) -> ClampAnswer:
    """Run to the end. Problem: unknown model (404), bad range (422), worker busy or away (503, Retry-After)."""
    raise NotImplementedError


async def clamp_events(labels: LabelFile, worker: Steering, request: ClampRequest) -> ClampStream:
    """Open a stream; everything that can be refused is refused here, before a status line is sent."""
    raise NotImplementedError


def steering(request: Request) -> Steering:
    """The app's one client."""
    client: Steering = request.app.state.steering
    return client


Worker = Annotated[Steering, Depends(steering)]
