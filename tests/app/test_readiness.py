"""A worker that cannot load its model: its reason stands wherever somebody would look, and goes when it is mended."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.cli.commands import main
from app.main import create_app
from neuronym.settings import Settings
from tests.serving import PATIENCE, served, until
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.errors import CheckpointError
from worker.serving.service import create_service

REASON = "tiny-chat lacks its second half. Copy the rest of it."
TOKEN = "a token of some length"
CLAMP: dict[str, Any] = {"model": "tiny-chat", "prompt": "a", "clamps": [{"layer": 0, "index": 0, "value": 1}]}


class Halved:
    """Opens a model, once it is whole."""

    def __init__(self, folder: Path) -> None:
        self.whole = False
        self._open = partial(open_checkpoint, str(folder))

    def __call__(self) -> Checkpoint:
        if not self.whole:
            raise CheckpointError(REASON)
        return self._open()


@pytest.fixture
def halved(tiny_llama: Path) -> Halved:
    return Halved(tiny_llama)


@pytest.fixture
def worker(halved: Halved) -> Iterator[str]:
    """The address of a worker whose only model cannot be loaded, once it has tried."""
    with served(create_service(Settings(), {"tiny-chat": halved})) as address:
        until(lambda: httpx2.get(f"{address}/v1/status").json()["models"][0]["state"] == "failed")
        yield address


@pytest.fixture
def address(planted_data: Path, worker: str) -> Iterator[str]:
    """The address of the app before it."""
    with served(create_app(Settings(data=planted_data, worker_url=worker))) as address:
        yield address


def problem(page: str) -> str:
    """What a page says is wrong."""
    return " ".join(one.get_text() for one in BeautifulSoup(page, "html.parser").select(".problem"))


def test_readyz_gives_the_workers_reason(address: str) -> None:
    answer = httpx2.get(f"{address}/readyz")
    assert answer.status_code == 503 and answer.json()["errors"] == [REASON]


@pytest.mark.parametrize("by", ["app", "worker"])
def test_the_doctor_gives_it(planted_data: Path, address: str, worker: str, by: str) -> None:
    asked = {"app": {"NEURONYM_PORT": str(httpx2.URL(address).port)}, "worker": {"NEURONYM_WORKER_URL": worker}}
    told = CliRunner().invoke(main, ["doctor"], env={"NEURONYM_DATA": str(planted_data), **asked[by]})
    assert told.exit_code == 1
    (line,) = [line for line in told.output.splitlines() if line.startswith("wrong")]
    assert REASON in line


@pytest.mark.parametrize("path", ["/playground", "/playground?model=tiny-chat", "/models/tiny-chat"])
def test_pages_give_it_before_anything_is_run(address: str, path: str) -> None:
    assert REASON in problem(httpx2.get(address + path).text)
    assert not problem(httpx2.get(f"{address}/models/tiny-gpt").text)


def test_it_goes_once_the_model_can_be_loaded(address: str, halved: Halved) -> None:
    def asked_again() -> str:
        form = {"act": "obstacle", "model": "tiny-chat"}
        return httpx2.post(f"{address}/playground", data=form, headers={"HX-Request": "true"}).text

    assert REASON in asked_again()
    halved.whole = True
    answer = httpx2.post(f"{address}/api/v1/clamp", json=CLAMP | {"max_new_tokens": 1}, timeout=PATIENCE)
    assert answer.is_success, answer.text
    assert httpx2.get(f"{address}/readyz").is_success
    assert not problem(asked_again())
    assert "Copy the rest" not in httpx2.get(f"{address}/playground").text


def test_who_may_not_run_models_is_told_no_reason(planted_data: Path, worker: str) -> None:
    settings = Settings(data=planted_data, worker_url=worker, token=SecretStr(TOKEN))
    with TestClient(create_app(settings)) as client:
        assert "second half" not in client.get("/playground").text
        assert "second half" in client.get("/playground", headers={"Authorization": f"Bearer {TOKEN}"}).text


def test_a_playground_without_a_worker_says_so(client: TestClient) -> None:
    assert "There is no worker. Start the app with" in client.get("/playground").text
    assert "There is no worker" not in client.get("/models/tiny-chat").text
