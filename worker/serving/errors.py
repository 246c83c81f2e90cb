"""Every failure of the worker service as an HTTP status and the one error shape, with Retry-After where it helps."""

import logging

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from neuronym.contract import ClampError, ErrorAnswer
from neuronym.http import CLIENT_GONE, ClientGone, sentences
from worker.errors import CheckpointError, RequestError
from worker.serving.queue import Busy
from worker.steering.models import UnknownModel
from worker.steering.thread import OutOfMemory

log = logging.getLogger(__name__)


class NotReady(Exception):
    """No clamp would run now. The message says why."""

    retry_after = 2


class NotPermitted(Exception):
    """The secret between app and worker was not sent, or is another one."""

    def __init__(self) -> None:
        super().__init__("App and worker have different secrets. Give both the same NEURONYM_WORKER_SECRET.")


_STATUS: dict[type[Exception], int] = {
    RequestError: 422,
    UnknownModel: 404,
    Busy: 503,
    OutOfMemory: 503,
    CheckpointError: 503,
    NotReady: 503,
    NotPermitted: 401,
}


def answer(error: Exception) -> ErrorAnswer:
    """What a client is told of a failure; the cause of one that nobody foresaw stays in the log."""
    status = _STATUS.get(type(error), 500)
    sentence = "The worker failed on this request. Its log has the cause." if status == 500 else str(error)
    return ErrorAnswer(error=sentence, errors=[sentence], status=status)


def event(error: Exception) -> ClampError:
    """The same, as the last event of a stream; here it has to be logged, for no one above will see it."""
    refusal = answer(error)
    if refusal.status == 500:
        log.error("A stream broke off.", exc_info=error)
    return ClampError(error=refusal.error, errors=refusal.errors, status=refusal.status)


def install(service: FastAPI) -> None:
    """Answer every failure of a service in the one shape."""
    for kind in (*_STATUS, Exception):
        service.add_exception_handler(kind, _refuse)
    service.add_exception_handler(RequestValidationError, _refuse_fields)
    service.add_exception_handler(HTTPException, _refuse_route)
    service.add_exception_handler(ClientGone, _nobody)


def _json(refusal: ErrorAnswer, retry_after: int | None = None) -> JSONResponse:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if refusal.status == 500:
        headers["Connection"] = "close"  # the server logs the error and hangs up; nobody should reuse the connection
    return JSONResponse(refusal.model_dump(), refusal.status, headers)


async def _refuse(_request: Request, error: Exception) -> Response:
    return _json(answer(error), getattr(error, "retry_after", None))


async def _refuse_fields(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = sentences(error.errors(), skip=1)
    return _json(ErrorAnswer(error=" ".join(errors), errors=errors, status=422))


async def _refuse_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(ErrorAnswer(error=error.detail, errors=[error.detail], status=error.status_code))


async def _nobody(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)
