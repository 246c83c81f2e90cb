"""Routes for supervisors, load balancers and Prometheus: is the app alive, can it run a clamp, its counts."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app import __version__
from app.errors import Problem, Unavailable
from app.labelfile.catalog import Catalog
from app.steering.clamp import Worker
from app.web.metrics import AppMetrics
from neuronym.contract import ErrorAnswer

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The answer of an app that is alive."""

    ok: bool = True
    version: str = __version__


class Ready(Alive):
    """The answer of an app that can run clamps; `run` is the id of the library's state."""

    run: str


@router.get("/healthz")
async def healthz() -> Alive:
    """Answer 200 while the process is alive, with or without a label file and a worker."""
    return Alive()


@router.get("/readyz", responses={503: {"model": ErrorAnswer}})
async def readyz(request: Request, worker: Worker) -> Ready:
    """Answer 200 when a clamp can run: a label file is open and the worker has a model. Else 503 with every reason."""
    metrics: AppMetrics = request.app.state.metrics
    metrics.ready.set(0)
    catalog: Catalog = request.app.state.catalog
    problems: list[str] = []
    run = ""
    try:
        run = (await run_in_threadpool(catalog.current)).run
    except Problem as problem:
        problems += problem.errors
    try:
        await worker.client.readiness()
    except Problem as problem:
        problems += problem.errors
    if problems:
        raise Unavailable(*problems)
    metrics.ready.set(1)
    return Ready(run=run)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """The app's counts in Prometheus' text format."""
    app_metrics: AppMetrics = request.app.state.metrics
    return Response(app_metrics.text(), media_type=CONTENT_TYPE_LATEST)
