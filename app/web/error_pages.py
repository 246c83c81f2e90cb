"""Every failure as an answer: JSON for programs, a page for people.

The one place that builds error answers, the framework's own errors included.
"""

from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from app.errors import Problem, Unprocessable, clip
from app.html.templates import Page, page
from app.web.middleware import SECURITY_HEADERS
from neuronym.contract import ErrorAnswer
from neuronym.http import CLIENT_GONE, ClientGone, sentences

FOR_PROGRAMS = ("/api/", "/openapi.json", "/healthz", "/readyz", "/metrics")

_BROKEN = "Something broke while this was answered. The log of the app says what."
# Such an answer is sent from outside all middleware, and the server hangs up after it.
_OF_BROKEN = {**SECURITY_HEADERS, "Connection": "close"}


@dataclass(frozen=True, kw_only=True)
class ErrorPage(Page):
    """A failure; `then` is where a reader can come back to after signing in."""

    template = "error.html"
    answer: ErrorAnswer
    then: str | None


def install(app: FastAPI) -> None:
    """Answer every failure of `app` in the one shape."""

    @app.exception_handler(Problem)
    def problem(request: Request, error: Problem) -> Response:
        return refuse(request, error)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        return refuse(request, _http(request, error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return refuse(request, Unprocessable(*sentences(error.errors(), skip=1)))

    @app.exception_handler(ClientGone)
    def gone(_: Request, __: ClientGone) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(Exception)
    def broken(request: Request, _: Exception) -> Response:
        return refuse(request, Problem(_BROKEN, headers=_OF_BROKEN))


def refuse(request: Request, problem: Problem) -> Response:
    """A Problem as JSON under /api, as a page elsewhere."""
    answer = problem.answer()
    if request.url.path.startswith(FOR_PROGRAMS):
        return JSONResponse(answer.model_dump(), problem.status, problem.headers)
    context = ErrorPage(answer=answer, then=_again(request))
    return page(request, context, block="notice", status=problem.status, headers=problem.headers)


def _again(request: Request) -> str | None:
    """Where a reader can come back to."""
    return str(request.url.replace(scheme="", netloc="")) if request.method == "GET" else None


def _http(request: Request, error: HTTPException) -> Problem:
    """The framework's own refusals: no such address, or not this method."""
    path = clip(request.url.path)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return Problem(f"There is nothing at {path}. The addresses of the API are listed at /docs.", status=404)
    if error.status_code == 405:
        allowed = headers.get("Allow", "another method")
        return Problem(f"{request.method} is not for {path}; use {allowed}.", status=405, headers=headers)
    return Problem(str(error.detail), status=error.status_code, headers=headers)
