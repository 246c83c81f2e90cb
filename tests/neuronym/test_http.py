"""Work that nobody waits for is cancelled, and both servers answer nobody; refusals are sentences for their reader."""

import asyncio
from collections.abc import Callable

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from app.web import error_pages
from neuronym.http import ClientGone, unless_gone
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
            await unless_gone(request, work())
        except ClientGone:
            ended.append("answer")

    with served(service) as address:
        ask(address).close()
        until(lambda: len(ended) == 2)
    assert ended == ["work", "answer"]  # who asked is told once the work has ended


def test_a_failure_of_the_work_is_passed_on() -> None:
    service = FastAPI()

    @service.get("/")
    async def answer(request: Request) -> Response:
        try:
            return await unless_gone(request, fail())
        except LookupError as error:
            return PlainTextResponse(str(error))

    async def fail() -> Response:
        raise LookupError("lost")

    with served(service) as address:
        assert httpx2.get(address).text == "lost"


@pytest.mark.parametrize("install", [error_pages.install, errors.install])
def test_a_client_that_left_is_no_failure_of_a_server(install: Callable[[FastAPI], None]) -> None:
    service = FastAPI()
    install(service)

    @service.get("/")
    async def answer() -> None:
        raise ClientGone

    answered = TestClient(service).get("/")  # a failure would be raised here, and logged in life
    assert (answered.status_code, answered.content) == (499, b"")
