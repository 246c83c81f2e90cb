"""Turns every failure into an answer: JSON for programs, a page for people.

The only module that builds error answers, the framework's own errors included.
"""

from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from app.errors import Problem, Unprocessable, clip
from app.html.templates import Page, page
from app.labelfile.catalog import BeingMapped
from app.labelfile.mapping_status import Mapping, mapping_of
from app.web import auth
from app.web.middleware import SECURITY_HEADERS
from neuronym.contract import ErrorAnswer
from neuronym.http import CLIENT_GONE, ClientGone, sentences

FOR_PROGRAMS = ("/api/", "/openapi.json", "/healthz", "/readyz", "/metrics")

_BROKEN = "Something broke while this was answered. The log of the app says what."
# The answer to an unexpected error is sent from outside all middleware, and the server hangs up after it.
_BROKEN_HEADERS = {**SECURITY_HEADERS, "Connection": "close"}


@dataclass(frozen=True, kw_only=True)
class ErrorPage(Page):
    """The fields of an error page; `then` is the address to return to after signing in.

    `mapping` is what is being mapped, for those who may know; `awaited` says that what was asked for waits for it.
    """

    template = "error.html"
    answer: ErrorAnswer
    then: str | None
    mapping: Mapping | None
    awaited: bool


def install(app: FastAPI) -> None:
    """Register handlers that answer every failure of `app` as an ErrorAnswer or an error page."""

    @app.exception_handler(Problem)
    def problem(request: Request, error: Problem) -> Response:
        return refuse(request, error)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        return refuse(request, _framework_problem(request, error))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        return refuse(request, Unprocessable(*sentences(error.errors(), skip=1)))

    @app.exception_handler(ClientGone)
    def gone(_: Request, __: ClientGone) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(Exception)
    def broken(request: Request, _: Exception) -> Response:
        return refuse(request, Problem(_BROKEN, headers=_BROKEN_HEADERS))


def refuse(request: Request, problem: Problem) -> Response:
    """Answer a Problem as JSON at the addresses in FOR_PROGRAMS, as a page at all others."""
    answer = problem.answer()
    if request.url.path.startswith(FOR_PROGRAMS):
        return JSONResponse(answer.model_dump(), problem.status, problem.headers)
    may_read = not request.app.state.settings.private or auth.permits(request)
    context = ErrorPage(
        answer=answer,
        then=_return_address(request),
        mapping=mapping_of(request) if may_read else None,
        awaited=isinstance(problem, BeingMapped),
    )
    return page(request, context, block="notice", status=problem.status, headers=problem.headers)


def _return_address(request: Request) -> str | None:
    """The path and query to return to after signing in; None for a form that was sent."""
    return str(request.url.replace(scheme="", netloc="")) if request.method == "GET" else None


def _framework_problem(request: Request, error: HTTPException) -> Problem:
    """The Problem that stands for an error of the framework: no such address, or not this method."""
    path = clip(request.url.path)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return Problem(f"There is nothing at {path}. The addresses of the API are listed at /docs.", status=404)
    if error.status_code == 405:
        allowed = headers.get("Allow", "another method")
        return Problem(f"{request.method} is not for {path}; use {allowed}.", status=405, headers=headers)
    return Problem(str(error.detail), status=error.status_code, headers=headers)
