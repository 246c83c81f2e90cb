"""Build the FastAPI application from the settings: state, routes, error handlers and middleware."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from app import __version__, api, health, pages
from app.export.formats import MEDIA_TYPES
from app.labelfile.catalog import Catalog
from app.labelfile.mapping_status import MappingStatus
from app.pages import sign_in
from app.steering.worker_client import WorkerClient
from app.web import api_docs, auth, error_pages, etag
from app.web.metrics import AppMetrics, RequestCounter
from app.web.middleware import HeadAsGet, SecurityHeaders
from app.web.static import HTMX, HTMX_FILES, STATIC, Files
from neuronym.access import bearer
from neuronym.settings import Settings

LEAST_COMPRESSED = 1000  # bytes; shorter answers are sent uncompressed
UNCOMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, *MEDIA_TYPES.values())  # events must not wait; an export is long


def create_app(settings: Settings, mapping: MappingStatus | None = None) -> FastAPI:
    """Create the app. It opens the library on the first request that needs it.

    Args:
        mapping: what is being mapped beside it, if anything.
    """
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
    app.state.mapping = mapping or MappingStatus()
    app.state.worker = WorkerClient(settings.worker_url, bearer(settings.worker_secret))
    app.state.metrics = AppMetrics()
    error_pages.install(app)
    app.add_exception_handler(etag.NotModified, _not_modified)
    access_checks = [Depends(auth.check)] if settings.private else []
    for module in (api, api_docs, pages):
        app.include_router(module.router, dependencies=access_checks)
    for public_module in (health, sign_in):
        app.include_router(public_module.router)
    app.mount("/static/htmx", Files(HTMX, HTMX_FILES))
    app.mount("/static", Files(STATIC))
    app.add_middleware(
        GZipMiddleware, minimum_size=LEAST_COMPRESSED, compresslevel=5, exclude_content_types=UNCOMPRESSED
    )
    app.add_middleware(RequestCounter, metrics=app.state.metrics)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SecurityHeaders)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.worker.aclose()
    app.state.catalog.close()


def _not_modified(_: Request, error: Exception) -> Response:
    assert isinstance(error, etag.NotModified)
    return error.answer()
