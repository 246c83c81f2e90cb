"""Clamps: checks a request against the library, has the worker run it, returns the answer whole or as events.

The JSON route and the playground call the same two functions, `clamp` and `clamp_events`.
"""

import json
from collections.abc import AsyncIterator
from typing import Annotated

import httpx2
from fastapi import Depends, Request
from pydantic import BaseModel, TypeAdapter
from starlette.concurrency import run_in_threadpool

from app.labelfile.library import Library
from app.queries.clamps import check_clamps
from app.steering.worker_client import UNKNOWN, WorkerAway, WorkerClient, parse_answer
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
from neuronym.http import cancel_if_client_leaves

__all__ = [
    "ClampStream",
    "EventStream",
    "Steering",
    "Worker",
    "clamp",
    "clamp_events",
    "load_failure",
    "obstacle",
    "tokenize",
]

_CLAMP = "/v1/clamp"
_TOKENIZE = "/v1/tokenize"
_EVENT: TypeAdapter[ClampEvent] = TypeAdapter(ClampEvent)
_BROKE_OFF = "The worker broke off before the text was finished. It is started again; try once more in a moment."


class Steering:
    """Access to the worker for one request: refuses those without the token, stops the work when the client leaves."""

    def __init__(self, client: WorkerClient, request: Request) -> None:
        self.client = client
        self.request = request

    async def post(self, path: str, body: BaseModel, *, stream: bool = False) -> httpx2.Response:
        """Send `body` to the worker; return its response, still open if it streams.

        Raises:
            Unauthorized: the request lacks the token.
            ClientGone: the client left; the worker's work is stopped.
        """
        auth.check(self.request)
        work = self.client.post(path, body.model_dump_json(by_alias=True), stream=stream)
        return await cancel_if_client_leaves(self.request, work)


def steering(request: Request) -> Steering:
    """Return access to the worker for a request."""
    return Steering(request.app.state.worker, request)


Worker = Annotated[Steering, Depends(steering)]


async def clamp(labels: Library, worker: Steering, request: ClampRequest) -> ClampAnswer:
    """Run a clamp to its end.

    Raises:
        Problem: unknown model (404), bad range (422), worker busy or away (503, Retry-After).
    """
    worker_request = await run_in_threadpool(check_clamps, labels, request.model_copy(update={"stream": False}))
    result = parse_answer(await worker.post(_CLAMP, worker_request), ClampResult)
    return ClampAnswer(
        run=labels.run,
        runs=result.runs,
        watch=result.watch,
        seed=result.seed,
        model=result.model,
        seconds=result.seconds,
    )


async def clamp_events(labels: Library, worker: Steering, request: ClampRequest) -> "ClampStream":
    """Open a stream of a clamp's events. All refusals are raised here, before a status line is sent."""
    worker_request = await run_in_threadpool(check_clamps, labels, request.model_copy(update={"stream": True}))
    return ClampStream(await worker.post(_CLAMP, worker_request, stream=True), labels.run)


async def tokenize(worker: Steering, request: TokenizeRequest) -> TokenizeAnswer:
    """Return the tokens of a text or chat as the model reads it.

    Raises:
        Problem: unknown model, refused chat, worker busy or away.
    """
    return parse_answer(await worker.post(_TOKENIZE, request), TokenizeAnswer)


async def obstacle(worker: Steering, model: str) -> str | None:
    """The reason why `model` cannot be clamped now, in the worker's words; None when none is known."""
    try:
        return await _reported_failure(worker, model)
    except WorkerAway as away:
        return str(away)


async def load_failure(worker: Steering, model: str) -> str | None:
    """The reason why the worker last failed to load `model`; None when it did not fail, or does not answer."""
    try:
        return await _reported_failure(worker, model)
    except WorkerAway:
        return None


async def _reported_failure(worker: Steering, model: str) -> str | None:
    """The failure to load `model` that the worker reports.

    None for those who may not run models: it can name folders of the worker's machine.
    """
    if not auth.permits(worker.request):
        return None
    status = await worker.client.status()
    failures = (each.error for each in status.models if each.name == model and each.state == "failed")
    return next(failures, None)


class ClampStream:
    """The events of a running clamp; the last is a summary or an error, whatever happens to the worker.

    Whoever opens a stream must `aclose` it, read to its end or not: that stops the worker.
    """

    def __init__(self, response: httpx2.Response, run: str) -> None:
        self._response = response
        self._run = run

    async def __aiter__(self) -> AsyncIterator[ClampEvent]:
        try:
            async for sent in httpx2.EventSource(self._response):
                event = self._with_run(_EVENT.validate_python({"event": sent.event} | json.loads(sent.data)))
                yield event
                if isinstance(event, ClampEnd | ClampError):
                    return
        except ValueError:  # not JSON, or not an event of the contract
            yield _error_event(UNKNOWN)
        except httpx2.TransportError:
            yield _error_event(_BROKE_OFF)
        else:
            yield _error_event(_BROKE_OFF)

    async def aclose(self) -> None:
        """Stop the worker's generation."""
        await self._response.aclose()

    def _with_run(self, event: ClampEvent) -> ClampEvent:
        """Set the id of the library's state on the events that carry one."""
        if isinstance(event, ClampStart | ClampEnd):
            event.run = self._run
        return event


def _error_event(sentence: str) -> ClampError:
    return ClampError(error=sentence, errors=[sentence], status=503)
