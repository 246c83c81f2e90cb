"""Is it alive, would a clamp run, and what was counted: for supervisors, load balancers and Prometheus."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from app import __version__
from app.errors import Problem, Unavailable
from app.labelfile.catalog import Catalog
from app.steering.clamp import Worker
from app.web.metrics import Metrics
from neuronym.contract import ErrorAnswer

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The app answers."""

    ok: bool = True
    version: str = __version__


class Ready(Alive):
    """A clamp would run."""

    run: str


@router.get("/healthz")
async def healthz() -> Alive:
    """The process answers; says nothing of label file or worker."""
    return Alive()


@router.get("/readyz", responses={503: {"model": ErrorAnswer}})
async def readyz(request: Request, worker: Worker) -> Ready:
    """200 once a clamp would run: a label file is open and the worker has a model. Else 503 with every reason."""
    metrics: Metrics = request.app.state.metrics
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
    """Counts in Prometheus' text format."""
    counted: Metrics = request.app.state.metrics
    return Response(counted.text(), media_type=CONTENT_TYPE_LATEST)
