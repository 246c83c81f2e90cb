"""Every failure as an answer: JSON for programs, a page for people.

The one place that builds error answers. Also puts the framework's own errors into plain sentences that name the field
and what it may be.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from app.errors import Problem, Unprocessable, clip
from app.templating import page

FOR_PROGRAMS = ("/api/", "/openapi.json", "/healthz", "/readyz", "/metrics")

_MEMBER = re.compile(r"<\w+\.\w+: ('[^']*')>")  # how pydantic prints a member of an enumeration


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
        return refuse(request, Unprocessable(*sentences(error.errors())))

    @app.exception_handler(Exception)
    def broken(request: Request, _: Exception) -> Response:
        return refuse(request, Problem("Something broke while this was answered. The log of the app says what."))


def refuse(request: Request, problem: Problem) -> Response:
    """A Problem as JSON under /api, as a page elsewhere."""
    answer = problem.answer()
    if request.url.path.startswith(FOR_PROGRAMS):
        return JSONResponse(answer.model_dump(), problem.status, problem.headers)
    context = {"answer": answer, "problem": problem}
    return page(request, "error.html", context, block="notice", status=problem.status, headers=problem.headers)


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


def sentences(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each validation error once, as a sentence that begins with its field."""
    return list(dict.fromkeys(map(_sentence, errors)))


def _sentence(error: Mapping[str, Any]) -> str:
    where, *field = error["loc"]
    name = ".".join(map(str, field)) or f"the {where}"
    if error["type"] == "json_invalid":
        return f"The body is not JSON: {error['ctx']['error']}."
    if error["type"] == "missing":
        return f"{name} is missing."
    if error["type"] == "extra_forbidden":
        return f"{name} is not known here; /docs lists what is."
    if error["type"] == "value_error":
        return f"{name}: {error['ctx']['error']}" if field else _capitalised(str(error["ctx"]["error"]))
    said = _MEMBER.sub(r"\1", error["msg"])
    return f"{_subject(name, said)}{_given(error.get('input'))}."


def _subject(name: str, said: str) -> str:
    """Pydantic's `Input should be ...`, said of the field."""
    for subject in ("Input ", "String ", "List ", "Value "):
        if said.startswith(subject + "should"):
            return f"{name} {said.removeprefix(subject)}"
    return f"{name}: {said}"


def _given(value: Any) -> str:
    """What was sent instead, where that is short enough to be said."""
    if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 40):
        return f", not {value!r}"
    return ""


def _capitalised(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
