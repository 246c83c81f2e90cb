"""Work is cancelled when the client leaves, in both servers; pydantic's errors are written as sentences."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel, ValidationError
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from app.web import error_pages
from neuronym.contract import ClampRequest
from neuronym.http import ClientGone, cancel_if_client_leaves, sentences, variable_name
from neuronym.settings import Settings
from tests.serving import ask, served, until
from worker.serving import errors


def test_work_that_nobody_waits_for_is_cancelled() -> None:
    ended: list[str] = []
    service = FastAPI()

    async def work() -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            ended.append("work")
            raise

    @service.get("/")
    async def answer(request: Request) -> None:
        try:
            await cancel_if_client_leaves(request, work())
        except ClientGone:
            ended.append("answer")

    with served(service) as address:
        ask(address).close()
        until(lambda: len(ended) == 2)
    assert ended == ["work", "answer"]  # ClientGone is raised once the work has ended


def test_a_failure_of_the_work_is_passed_on() -> None:
    service = FastAPI()

    @service.get("/")
    async def answer(request: Request) -> Response:
        try:
            return await cancel_if_client_leaves(request, fail())
        except LookupError as error:
            return PlainTextResponse(str(error))

    async def fail() -> Response:
        raise LookupError("lost")

    with served(service) as address:
        assert httpx2.get(address).text == "lost"


@pytest.mark.parametrize("install", [error_pages.install, errors.install_error_handlers])
def test_a_client_that_left_is_no_failure_of_a_server(install: Callable[[FastAPI], None]) -> None:
    service = FastAPI()
    install(service)

    @service.get("/")
    async def answer() -> None:
        raise ClientGone

    answered = TestClient(service).get("/")  # a failure would be raised here, and logged in life
    assert (answered.status_code, answered.content) == (499, b"")


BODY = {"model": "m", "prompt": "p", "clamps": [{"layer": 0, "index": 0, "value": 1}]}


@pytest.mark.parametrize(
    "more, sentence",
    [
        ({"top_p": 0}, "top_p should be greater than 0, not 0."),
        (
            {"clamps": [{"layer": -1, "index": 0, "value": 1}]},
            "clamps.0.layer should be greater than or equal to 0, not -1.",
        ),
        ({"clamps": [{"layer": 0, "value": 1}]}, "clamps.0.index is missing."),
        ({"volume": 11}, "volume is not known here; /docs lists what is."),
        ({"messages": []}, "messages should have at least 1 item after validation, not 0."),
        ({"prompt": None}, "Give either `prompt` or `messages`, not both."),
        ({"positions": "x" * 41}, "positions should be 'all', 'prompt' or 'generated'."),  # too long to be repeated
    ],
)
def test_what_cannot_be_meant_is_said_of_its_field(more: dict[str, object], sentence: str) -> None:
    assert refused(ClampRequest, BODY | more) == [sentence]


def test_an_error_is_said_once() -> None:
    with pytest.raises(ValidationError) as caught:
        ClampRequest.model_validate(BODY | {"top_p": 0})
    assert len(sentences(caught.value.errors() * 2)) == 1


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"port": "many"}, "NEURONYM_PORT should be a valid integer, unable to parse string as an integer."),
        ({"token": "guessable"}, "NEURONYM_TOKEN: is too short to be a secret: 12 characters at least."),
        ({"private": True}, "NEURONYM_PRIVATE asks for a token on every page: set NEURONYM_TOKEN, too."),
    ],
)
def test_settings_go_by_their_variables_and_no_value_is_repeated(values: dict[str, object], sentence: str) -> None:
    assert refused(Settings, values, field_name=variable_name, repeat_input=False) == [sentence]


def refused(kind: type[BaseModel], values: dict[str, object], **options: Any) -> list[str]:
    """The sentences of a refusal."""
    with pytest.raises(ValidationError) as caught:
        kind(**values)
    return sentences(caught.value.errors(), **options)
