"""The live count of the playground's input, with a live worker."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from app.main import create_app
from neuronym.settings import Settings
from tests.serving import PATIENCE, served, until
from worker.checkpoints.checkpoint import open_checkpoint
from worker.serving.service import create_service

FORM: dict[str, Any] = {
    "act": "count",
    "model": "tiny-chat",
    "kind": "prompt",
    "text": "The dog",
    "max_new_tokens": "4",
}
PARTIAL = {"HX-Request-Type": "partial"}


@pytest.fixture(scope="module")
def site(planted_data: Path, tiny_llama: Path) -> Iterator[httpx2.Client]:
    """An app with a worker that has loaded one of its two models."""
    opener = partial(open_checkpoint, str(tiny_llama))
    service = create_service(Settings(), {"tiny-chat": opener, "tiny-second": opener})
    with (
        served(service) as worker,
        served(create_app(Settings(data=planted_data, worker_url=worker))) as app,
        httpx2.Client(base_url=app, timeout=PATIENCE, headers=PARTIAL) as http,
    ):
        until(lambda: http.get("/readyz").is_success)
        yield http


def count(site: httpx2.Client, **fields: Any) -> str:
    """The HTML of the input's token count."""
    response = site.post("/playground", data=FORM | fields)
    assert response.status_code == 200
    return response.text.strip()


def read(site: httpx2.Client, **fields: Any) -> int:
    """The number of prompt tokens that a run reports."""
    request = {"model": "tiny-chat", "max_new_tokens": 1, "stream": True} | fields
    with site.stream("POST", "/api/v1/clamp", json=request) as response:
        start = next(sent for sent in httpx2.EventSource(response) if sent.event == "start")
    return len(json.loads(start.data)["prompt_tokens"])


def test_the_count_is_what_a_run_reads(site: httpx2.Client) -> None:
    tokens = read(site, prompt="The dog")
    assert count(site) == f'<span class="num">{tokens} tokens of 256</span>'
    chat = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "The dog"}]
    assert f">{read(site, messages=chat)} tokens" in count(site, kind="chat", system="Be brief")


def test_too_many_are_said_with_the_new_ones(site: httpx2.Client) -> None:
    tokens = read(site, prompt="The dog")
    assert "mistake" not in count(site, max_new_tokens=str(256 - tokens))
    over = count(site, max_new_tokens=str(257 - tokens))
    assert "mistake" in over and f"with {257 - tokens} new ones too many" in over


@pytest.mark.parametrize(
    "fields", [{"model": "tiny-second"}, {"model": "nope"}, {"text": "x" * 200_000}, {"max_new_tokens": "many"}]
)
def test_where_nobody_knows_nothing_is_said(site: httpx2.Client, fields: dict[str, str]) -> None:
    assert bool(count(site, **fields)) == ("max_new_tokens" in fields)


def test_without_a_worker_nothing_is_said(client: TestClient) -> None:
    response = client.post("/playground", data=FORM, headers=PARTIAL)
    assert (response.status_code, response.text.strip()) == (200, "")
