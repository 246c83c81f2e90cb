"""Wiring: settings in, a FastAPI application out. Nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from app import __version__, api, guard, handlers, health, pages, reference
from app.catalog import Catalog
from app.metrics import Counted, Metrics
from app.middleware import HeadAsGet, SecurityHeaders
from app.pages import signing_in
from app.settings import Settings
from app.static import HTMX, HTMX_FILES, STATIC, Files
from app.worker_client import WorkerClient
from app.writing import MEDIA_TYPES

SMALL = 1000  # bytes of an answer that is sent as it is
AS_THEY_ARE = (*DEFAULT_EXCLUDED_CONTENT_TYPES, *MEDIA_TYPES.values())  # events must not wait; an export is long


def create_app(settings: Settings) -> FastAPI:
    """The whole app; it opens the label file on the first request that needs it."""
    app = FastAPI(
        title="Neuronym",
        version=__version__,
        summary="A name for every neuron of a language model.",
        docs_url=None,  # FastAPI's own pages load scripts from another host
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.catalog = Catalog(settings)
    app.state.worker = WorkerClient(settings.worker_url, settings.bearer("worker_secret"))
    app.state.metrics = Metrics()
    handlers.install(app)
    app.add_exception_handler(api.NotModified, _not_modified)
    reading = [Depends(guard.check)] if settings.private else []
    for part in (api, reference, pages):
        app.include_router(part.router, dependencies=reading)
    for open_to_all in (health, signing_in):
        app.include_router(open_to_all.router)
    app.mount("/static/htmx", Files(HTMX, HTMX_FILES))
    app.mount("/static", Files(STATIC))
    app.add_middleware(GZipMiddleware, minimum_size=SMALL, compresslevel=5, exclude_content_types=AS_THEY_ARE)
    app.add_middleware(Counted, metrics=app.state.metrics)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.worker.aclose()
    app.state.catalog.close()


def _not_modified(_: Request, error: Exception) -> Response:
    assert isinstance(error, api.NotModified)
    return error.answer()
