"""Error answers of the worker service: each failure as an HTTP status and an ErrorAnswer, some with Retry-After."""

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
    """No model is ready to run a clamp. The message says why."""

    retry_after = 2


class WrongSecret(Exception):
    """The request lacks the secret that app and worker share, or has another one."""

    def __init__(self) -> None:
        super().__init__("App and worker have different secrets. Give both the same NEURONYM_WORKER_SECRET.")


_STATUS: dict[type[Exception], int] = {
    RequestError: 422,
    UnknownModel: 404,
    Busy: 503,
    OutOfMemory: 503,
    CheckpointError: 503,
    NotReady: 503,
    WrongSecret: 401,
}


def error_answer(error: Exception) -> ErrorAnswer:
    """The error answer for a failure; the cause of an unforeseen one is kept for the log."""
    status = _STATUS.get(type(error), 500)
    sentence = "The worker failed on this request. Its log has the cause." if status == 500 else str(error)
    return ErrorAnswer(error=sentence, errors=[sentence], status=status)


def error_event(error: Exception) -> ClampError:
    """The last event of a stream that failed. Log an unforeseen failure: no caller of a stream sees it."""
    answer = error_answer(error)
    if answer.status == 500:
        log.error("A stream broke off.", exc_info=error)
    return ClampError(error=answer.error, errors=answer.errors, status=answer.status)


def install_error_handlers(service: FastAPI) -> None:
    """Have the service answer every failure with an ErrorAnswer."""
    for kind in (*_STATUS, Exception):
        service.add_exception_handler(kind, _refuse)
    service.add_exception_handler(RequestValidationError, _refuse_fields)
    service.add_exception_handler(HTTPException, _refuse_route)
    service.add_exception_handler(ClientGone, _answer_gone_client)


def _json_response(answer: ErrorAnswer, retry_after: int | None = None) -> JSONResponse:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if answer.status == 500:
        headers["Connection"] = "close"  # the server logs the error and closes the connection
    return JSONResponse(answer.model_dump(), answer.status, headers)


async def _refuse(_request: Request, error: Exception) -> Response:
    return _json_response(error_answer(error), getattr(error, "retry_after", None))


async def _refuse_fields(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = sentences(error.errors(), skip=1)
    return _json_response(ErrorAnswer(error=" ".join(errors), errors=errors, status=422))


async def _refuse_route(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json_response(ErrorAnswer(error=error.detail, errors=[error.detail], status=error.status_code))


async def _answer_gone_client(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)
