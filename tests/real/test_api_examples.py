"""docs/api.md against a real server with the demo model: every example is run, and answers as the page says."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.main import create_app
from neuronym.settings import ROOT, Settings
from tests.serving import served
from worker.checkpoints.checkpoint import open_checkpoint
from worker.serving.service import create_service

pytestmark = pytest.mark.real

MODEL = "smollm2-135m-instruct"
LOADING = 300.0  # seconds that a busy machine may take to load the model
ORIGIN = "http://127.0.0.1:8000"
EXAMPLE = re.compile(r"```sh\n(.*?)```\n\n```(jsonl?|text)\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A call, and what it answers."""

    path: str
    body: str | None
    kind: str
    answer: str


def examples() -> list[Example]:
    """Every call of the page."""
    return [_example(*found) for found in EXAMPLE.findall((ROOT / "docs" / "api.md").read_text())]


def _example(call: str, kind: str, answer: str) -> Example:
    words = shlex.split(call)
    (address,) = (word for word in words if word.startswith(ORIGIN))
    body = words[words.index("-d") + 1] if "-d" in words else None
    return Example(address.removeprefix(ORIGIN), body, kind, answer)


@pytest.fixture(scope="module")
def site(demo_data: Path) -> Iterator[httpx2.Client]:
    """App and worker on the demo model."""
    service = create_service(Settings(data=demo_data), {MODEL: partial(open_checkpoint, "demo")})
    with (
        served(service) as worker,
        served(create_app(Settings(data=demo_data, worker_url=worker))) as app,
        httpx2.Client(base_url=app, timeout=LOADING) as http,
    ):
        loaded = http.post("/api/v1/clamp", json={"model": MODEL, "prompt": "Hi", "max_new_tokens": 1})
        assert loaded.status_code == 200, loaded.text
        yield http


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.path)
def test_an_example_answers_as_the_page_says(site: httpx2.Client, example: Example) -> None:
    headers = {"Content-Type": "application/json"} if example.body else {}
    method = "POST" if example.body else "GET"
    response = site.request(method, example.path, content=example.body, headers=headers)
    if example.kind.startswith("json"):
        answer = response.json() if example.kind == "json" else json.loads(response.text.split("\n")[0])
        assert_told(answer, json.loads(example.answer), "answer")
    else:
        told = [line for line in response.text.splitlines() if line.startswith("event:")]
        assert told == example.answer.split("\n")[:-1]


def test_the_python_example_runs_as_it_stands(site: httpx2.Client) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    source = source.replace(ORIGIN, str(site.base_url).rstrip("/"))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["baseline", "clamped", "'"]


def test_every_route_has_an_example_or_a_word(site: httpx2.Client) -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for path in site.get("/openapi.json").json()["paths"]:
        assert re.sub(r"/?\{.*", "", path) in page, path


def assert_told(answer: Any, told: Any, where: str) -> None:
    """All that the page tells is in the answer: lists from their beginning, numbers to the digits that are shown."""
    if told == "...":
        return
    if isinstance(told, dict):
        assert isinstance(answer, dict), where
        for name, value in told.items():
            assert name in answer, f"{where}.{name}"
            assert_told(answer[name], value, f"{where}.{name}")
    elif isinstance(told, list):
        assert isinstance(answer, list), where
        assert (answer == []) == (told == []), where
        for place, value in enumerate(told):
            assert_told(answer[place], value, f"{where}.{place}")
    elif isinstance(told, float):
        assert answer == pytest.approx(told, rel=0.05), where
    else:
        assert answer == told, where
