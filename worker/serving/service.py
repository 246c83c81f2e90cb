"""The HTTP service of the worker: clamps, plain or streamed, sweeps, the tokens of a text, status and health.

Knows the queue and which clients have left; `steering.generation` knows what a run does.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from neuronym.access import admits
from neuronym.contract import (
    ClampEvent,
    ClampRequest,
    ClampResult,
    SweepCurve,
    SweepRequest,
    Token,
    TokenizeAnswer,
    TokenizeRequest,
    WorkerModel,
    WorkerStatus,
)
from neuronym.http import cancel_if_client_leaves
from neuronym.settings import Settings
from worker.serving import errors
from worker.serving.errors import NotReady, WrongSecret
from worker.serving.queue import Busy, QueuePlace
from worker.serving.runner import VERSION, Runner
from worker.steering.codec import Codec
from worker.steering.generation import collect
from worker.steering.models import Opener

STALL = 30.0  # seconds without reading after which a client counts as gone


def create_service(settings: Settings, models: Mapping[str, Opener]) -> FastAPI:
    """Create the service for `models`, by name; the first that can be loaded is loaded at the start.

    Raises:
        ValueError: the machine lacks the device in the settings.
    """
    service = FastAPI(title="Neuronym worker", version=VERSION, lifespan=_lifespan)
    service.state.runner = Runner(settings, models)
    service.state.settings = settings
    service.include_router(router)
    service.include_router(health)
    errors.install_error_handlers(service)
    return service


@asynccontextmanager
async def _lifespan(service: FastAPI) -> AsyncIterator[None]:
    runner: Runner = service.state.runner
    warming = asyncio.create_task(runner.warm_up())
    yield
    warming.cancel()
    await asyncio.wait({warming})
    runner.thread.shut_down()


@dataclass(frozen=True)
class QueueVisit:
    """A client's place in the queue, and the callbacks for when its answer has been sent or it has left."""

    place: QueuePlace
    ending: AsyncExitStack


def _runner(request: Request) -> Runner:
    runner: Runner = request.app.state.runner
    return runner


async def _visit(runner: Annotated[Runner, Depends(_runner)]) -> AsyncIterator[QueueVisit]:
    """Take a place before the status line is sent, so that a full queue is a 503."""
    async with AsyncExitStack() as ending:
        try:
            place = ending.enter_context(runner.queue.admit())
        except Busy:
            runner.metrics.count_clamp("refused")
            raise
        yield QueueVisit(place, ending)


def _check_secret(request: Request) -> None:
    settings: Settings = request.app.state.settings
    if not admits(settings.worker_secret, request.headers.get("Authorization", "")):
        raise WrongSecret


RunnerDep = Annotated[Runner, Depends(_runner)]
VisitDep = Annotated[QueueVisit, Depends(_visit)]
router = APIRouter(dependencies=[Depends(_check_secret)])
health = APIRouter()  # without the secret, which supervisors lack


@router.post("/v1/clamp", response_model=ClampResult)
async def clamp(body: ClampRequest, runner: RunnerDep, visit: VisitDep, request: Request) -> ClampResult | Response:
    """Generate with and without clamps: the whole as JSON, or Server-Sent Events as it comes."""
    planned = await cancel_if_client_leaves(request, runner.plan(body))
    run = runner.run(body, planned, visit.place)
    visit.ending.push_async_callback(run.aclose)
    if body.stream:
        return EventSourceResponse(_server_sent_events(run), headers={"Cache-Control": "no-store"})
    return await cancel_if_client_leaves(request, _collect(run))


@router.post("/v1/sweep")
async def sweep(body: SweepRequest, runner: RunnerDep, visit: VisitDep, request: Request) -> SweepCurve:
    """Watched tokens over the values of one clamp."""
    return await cancel_if_client_leaves(request, runner.sweep(body, visit.place))


@router.post("/v1/tokenize")
async def tokenize(body: TokenizeRequest, runner: RunnerDep, request: Request) -> TokenizeAnswer:
    """The tokens of a text or chat as a clamp would read it."""
    live = runner.models.ready(body.model)
    if live is None:
        if not body.load:
            raise NotReady(f"{body.model} is not loaded.")
        with runner.queue.admit() as place:
            live = await cancel_if_client_leaves(request, runner.live(body.model, place))
    tokens = await asyncio.to_thread(_text_tokens, live.codec, body)
    return TokenizeAnswer(model=live.name, context=live.context, tokens=tokens)


@router.get("/v1/status")
async def status(runner: RunnerDep) -> WorkerStatus:
    """The models and their states, and how many clamps run and wait."""
    return runner.status()


@health.get("/healthz")
async def healthz() -> dict[str, bool]:
    """The process answers."""
    return {"ok": True}


@health.get("/readyz")
async def readyz(runner: RunnerDep) -> dict[str, bool]:
    """A clamp would run: a model is loaded. Else 503 with the reason of each model that could not be."""
    models = runner.models.status()
    if not any(model.state == "ready" for model in models):
        raise NotReady(_not_ready_reasons(models))
    return {"ok": True}


@health.get("/metrics")
async def metrics(runner: RunnerDep) -> Response:
    """Counts for Prometheus."""
    return Response(runner.metrics.text(runner.status()), media_type="text/plain; version=0.0.4")


def _not_ready_reasons(models: Sequence[WorkerModel]) -> str:
    """The sentences of why no clamp would run: models that failed, and models that are loading."""
    failed = [model.error for model in models if model.error]
    loading = [
        f"{model.name} is loading, {model.loaded or 0:.0%} done." for model in models if model.state == "loading"
    ]
    if failed or loading:
        return " ".join([*failed, *loading])
    return "No model is loaded yet." if models else "There is no mapped model to load: map one first."


def _text_tokens(codec: Codec, body: TokenizeRequest) -> list[Token]:
    return codec.pieces(codec.chat(body.messages) if body.messages else codec.prompt(body.text or ""))


async def _collect(run: AsyncIterator[list[ClampEvent]]) -> ClampResult:
    return collect([event async for step in run for event in step])


async def _server_sent_events(run: AsyncIterator[list[ClampEvent]]) -> AsyncIterator[bytes]:
    """Encode a run as Server-Sent Events; a step without events becomes a comment, as a sign of life."""
    sending = asyncio.current_task()
    assert sending is not None
    try:
        async for step in run:
            stalled = asyncio.get_running_loop().call_later(STALL, sending.cancel)
            try:
                yield b"".join(map(_server_sent_event, step)) or KEEPALIVE_COMMENT
            finally:
                stalled.cancel()
    except Exception as error:
        yield _server_sent_event(errors.error_event(error))


def _server_sent_event(event: ClampEvent) -> bytes:
    return format_sse_event(event=event.event, data_str=event.model_dump_json())
