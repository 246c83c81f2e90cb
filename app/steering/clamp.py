"""Clamps: checked against the label file, run by the worker, handed back whole or event by event.

Knows nothing of torch or of HTML. The JSON route and the playground call the same two functions.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import httpx2
from fastapi import Depends, Request
from pydantic import BaseModel, TypeAdapter
from starlette.concurrency import run_in_threadpool

from app.labelfile.label_file import LabelFile
from app.queries.clamps import check_clamps
from app.steering.worker_client import UNKNOWN, WorkerAway, WorkerClient, understood
from app.web import auth
from app.web.sse import EventStream
from neuronym.contract import (
    ClampAnswer,
    ClampEnd,
    ClampError,
    ClampEvent,
    ClampRequest,
    ClampResult,
    ClampStart,
    TokenizeAnswer,
    TokenizeRequest,
)
from neuronym.http import unless_gone

__all__ = [
    "ClampStream",
    "EventStream",
    "Steering",
    "Worker",
    "clamp",
    "clamp_events",
    "failure",
    "obstacle",
    "tokenize",
]

_CLAMP = "/v1/clamp"
_TOKENIZE = "/v1/tokenize"
_EVENT: TypeAdapter[ClampEvent] = TypeAdapter(ClampEvent)
_BROKE_OFF = "The worker broke off before the text was finished. It is started again; try once more in a moment."


class Steering:
    """The worker, on behalf of one request: it runs for those who may, and stops when the one who asked leaves."""

    def __init__(self, client: WorkerClient, request: Request) -> None:
        self.client = client
        self.request = request

    async def post(self, path: str, asked: BaseModel, *, stream: bool = False) -> httpx2.Response:
        """The worker's answer, open if it streams. NotPermitted: the request lacks the token."""
        auth.check(self.request)
        work = self.client.post(path, asked.model_dump_json(by_alias=True), stream=stream)
        return await unless_gone(self.request, work)


def steering(request: Request) -> Steering:
    """The worker, for this request."""
    return Steering(request.app.state.worker, request)


Worker = Annotated[Steering, Depends(steering)]


async def clamp(labels: LabelFile, worker: Steering, request: ClampRequest) -> ClampAnswer:
    """Run to the end. Problem: unknown model (404), bad range (422), worker busy or away (503, Retry-After)."""
    asked = await run_in_threadpool(check_clamps, labels, request.model_copy(update={"stream": False}))
    result = understood(await worker.post(_CLAMP, asked), ClampResult)
    return ClampAnswer(
        run=labels.run,
        runs=result.runs,
        watch=result.watch,
        seed=result.seed,
        model=result.model,
        seconds=result.seconds,
    )


async def clamp_events(labels: LabelFile, worker: Steering, request: ClampRequest) -> "ClampStream":
    """Open a stream; everything that can be refused is refused here, before a status line is sent."""
    asked = await run_in_threadpool(check_clamps, labels, request.model_copy(update={"stream": True}))
    return ClampStream(await worker.post(_CLAMP, asked, stream=True), labels.run)


async def tokenize(worker: Steering, request: TokenizeRequest) -> TokenizeAnswer:
    """The tokens of a text or chat as the model reads it. Problem: unknown model, refused chat, worker busy or away."""
    return understood(await worker.post(_TOKENIZE, request), TokenizeAnswer)


async def obstacle(worker: Steering, model: str) -> str | None:
    """Why no clamp of `model` would run now, in the worker's words; None when nothing is known to stand in the way."""
    try:
        return await _failure(worker, model)
    except WorkerAway as away:
        return str(away)


async def failure(worker: Steering, model: str) -> str | None:
    """Why the worker could not load `model` when it last tried; None when it could, or does not answer."""
    try:
        return await _failure(worker, model)
    except WorkerAway:
        return None


async def _failure(worker: Steering, model: str) -> str | None:
    """The worker's reason. Only those who may run models are told: it can name folders of the worker's machine."""
    if not auth.permits(worker.request):
        return None
    status = await worker.client.status()
    return next((one.error for one in status.models if one.name == model and one.state == "failed"), None)


class ClampStream:
    """Events of a running clamp. Whoever opened it must `aclose` it, read to its end or not: that stops the worker.

    It ends with a summary or an error, whatever happens to the worker.
    """

    def __init__(self, response: httpx2.Response, run: str) -> None:
        self._response = response
        self._run = run

    async def __aiter__(self) -> AsyncIterator[ClampEvent]:
        try:
            async for sent in httpx2.EventSource(self._response):
                event = self._named(_EVENT.validate_python({"event": sent.event} | json.loads(sent.data)))
                yield event
                if isinstance(event, ClampEnd | ClampError):
                    return
        except ValueError:  # not JSON, or not an event of the contract
            yield _error(UNKNOWN)
        except httpx2.TransportError:
            yield _error(_BROKE_OFF)
        else:
            yield _error(_BROKE_OFF)

    async def aclose(self) -> None:
        """Stop the worker's generation."""
        await self._response.aclose()

    def _named(self, event: ClampEvent) -> ClampEvent:
        if isinstance(event, ClampStart | ClampEnd):
            event.run = self._run
        return event


def _error(sentence: str) -> ClampError:
    return ClampError(error=sentence, errors=[sentence], status=503)
