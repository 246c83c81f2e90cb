"""Routes for supervisors, load balancers and Prometheus: is the app alive, can it run a clamp, its counts."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app import __version__
from app.errors import Problem, Unavailable
from app.labelfile.catalog import served_library
from app.labelfile.mapping_status import mapping_of
from app.steering.clamp import Worker
from app.web.metrics import AppMetrics
from neuronym.contract import ErrorAnswer

router = APIRouter(tags=["health"])


class MappingReport(BaseModel):
    """What is being mapped beside the app, or why that stopped, in words; `share` of it is mapped."""

    state: Literal["running", "failed"]
    says: str
    share: float


class Alive(BaseModel):
    """The answer of an app that is alive; `mapping` is null when nothing is being mapped beside it."""

    ok: bool = True
    version: str = __version__
    mapping: MappingReport | None = None


class Ready(Alive):
    """The answer of an app that can run clamps; `run` is the id of the library's state."""

    run: str


@router.get("/healthz")
async def healthz(request: Request) -> Alive:
    """Answer 200 while the process is alive, with or without a label file and a worker."""
    return Alive(mapping=_report(request))


def _report(request: Request) -> MappingReport | None:
    mapping = mapping_of(request)
    if mapping is None:
        return None
    says = " ".join(sentence for sentence in (mapping.now, mapping.later) if sentence)
    return MappingReport(state="failed" if mapping.failed else "running", says=says, share=round(mapping.share, 3))


@router.get("/readyz", responses={503: {"model": ErrorAnswer}})
async def readyz(request: Request, worker: Worker) -> Ready:
    """Answer 200 when a clamp can run: a label file is open and the worker has a model. Else 503 with every reason."""
    metrics: AppMetrics = request.app.state.metrics
    metrics.ready.set(0)
    problems: list[str] = []
    run = ""
    try:
        run = (await run_in_threadpool(served_library, request)).run
    except Problem as problem:
        problems += problem.errors
    try:
        await worker.client.readiness()
    except Problem as problem:
        problems += problem.errors
    if problems:
        raise Unavailable(*problems)
    metrics.ready.set(1)
    return Ready(run=run, mapping=_report(request))


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """The app's counts in Prometheus' text format."""
    app_metrics: AppMetrics = request.app.state.metrics
    return Response(app_metrics.text(), media_type=CONTENT_TYPE_LATEST)
