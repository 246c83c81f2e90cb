"""Clamps through the app, with a live worker behind it: answers, refusals, and what happens when someone leaves."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest
from pydantic import TypeAdapter

from app.main import create_app
from neuronym.contract import (
    ClampAnswer,
    ClampEnd,
    ClampError,
    ClampEvent,
    ClampStart,
    ClampToken,
    ClampWaiting,
    ErrorAnswer,
)
from neuronym.settings import Settings
from tests.serving import PATIENCE, served, until
from worker.checkpoints.checkpoint import open_checkpoint
from worker.serving.runner import Runner
from worker.serving.service import create_service

EVENT: TypeAdapter[ClampEvent] = TypeAdapter(ClampEvent)
MODEL = "tiny-chat"
ALIVE = {"ok": True, "version": "0.1.0", "mapping": None}
CLAMP = {"layer": 2, "index": 1, "site": "up", "value": 9}
REQUEST: dict[str, Any] = {
    "model": MODEL,
    "prompt": "The dog",
    "clamps": [CLAMP],
    "max_new_tokens": 6,
    "watch": [" dog"],
}


@dataclass
class Both:
    """The app, its worker, and the worker's runner."""

    http: httpx2.Client
    worker: httpx2.Client
    runner: Runner

    def clamp(self, **fields: Any) -> httpx2.Response:
        """Ask for a clamp."""
        return self.http.post("/api/v1/clamp", json=REQUEST | fields)

    def stream(self, **fields: Any) -> Any:
        """Open a streamed clamp."""
        return self.http.stream("POST", "/api/v1/clamp", json=REQUEST | {"stream": True} | fields)

    def idle(self) -> bool:
        """Whether nothing runs or waits on the worker."""
        status = self.worker.get("/v1/status").json()
        return (status["running"], status["waiting"]) == (0, 0)

    def left(self) -> float:
        """The number of clamps that ended because the client had left."""
        metrics = self.worker.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in metrics if 'clamps_total{outcome="left"}' in line), 0.0)

    @contextmanager
    def slowed(self, seconds: float) -> Iterator[None]:
        """Delay each token of the model by `seconds` within the block."""
        live = self.runner.models.ready(MODEL)
        assert live is not None
        handle = live.model.register_forward_pre_hook(lambda *_: sleep(seconds))
        try:
            yield
        finally:
            handle.remove()


@pytest.fixture(scope="module")
def both(planted_data: Path, tiny_llama: Path) -> Iterator[Both]:
    """App and worker on one planted label file; the worker has room for one to wait."""
    service = create_service(Settings(queue=1), {MODEL: partial(open_checkpoint, str(tiny_llama))})
    with (
        served(service) as worker,
        served(create_app(Settings(data=planted_data, worker_url=worker))) as app,
        httpx2.Client(base_url=app, timeout=PATIENCE) as http,
        httpx2.Client(base_url=worker) as inside,
    ):
        until(lambda: inside.get("/readyz").is_success)
        yield Both(http, inside, service.state.runner)


def events_of(response: httpx2.Response) -> list[ClampEvent]:
    """The events of a streamed answer, each named as its data says."""
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    events = []
    for sent in httpx2.EventSource(response):
        event = EVENT.validate_json(sent.data)
        assert event.event == sent.event
        events.append(event)
    return events


def refusal(response: httpx2.Response, status: int) -> ErrorAnswer:
    """Check the status of a refusal and parse it."""
    assert response.status_code == status, response.text
    return ErrorAnswer.model_validate(response.json())


def test_a_clamp_is_the_workers_answer_with_the_label_files_id(both: Both) -> None:
    answer = ClampAnswer.model_validate(both.clamp().json())
    alone = both.worker.post("/v1/clamp", json=REQUEST).json()
    assert answer.run == "planted-1"
    assert answer.model == MODEL
    assert {run: text.text for run, text in answer.runs.items()} == {
        run: text["text"] for run, text in alone["runs"].items()
    }
    assert answer.watch[0].token == " dog"
    assert answer.watch[0].delta == pytest.approx(alone["watch"][0]["delta"])


def test_a_stream_names_the_label_file_and_comes_to_the_same_text(both: Both) -> None:
    whole = ClampAnswer.model_validate(both.clamp().json())
    with both.stream() as response:
        events = events_of(response)
    first, last = events[0], events[-1]
    assert isinstance(first, ClampStart)
    assert isinstance(last, ClampEnd)
    assert (first.run, last.run) == ("planted-1", "planted-1")
    for run, text in whole.runs.items():
        streamed = [event.token_id for event in events if isinstance(event, ClampToken) and event.run == run]
        assert streamed == [token.token_id for token in text.tokens]
    assert [event.event for event in events].count("done") == 2
    assert last.watch[0].delta == pytest.approx(whole.watch[0].delta)


def test_a_value_in_units_of_the_neurons_own_range(both: Both) -> None:
    """The planted quantiles are their own places: the 0.999 quantile of L2N1 at site up is 9."""
    ranged = both.clamp(unit="range", clamps=[CLAMP | {"value": 2}]).json()
    raw = both.clamp(clamps=[CLAMP | {"value": 18}]).json()
    other = both.clamp(clamps=[CLAMP | {"value": 2}]).json()
    assert ranged["watch"] == raw["watch"]
    assert ranged["watch"] != other["watch"]


def test_units_without_a_clamp_change_nothing(both: Both) -> None:
    assert both.clamp(unit="range", clamps=[]).json()["runs"] == both.clamp(clamps=[]).json()["runs"]


def test_a_factor_has_no_unit(both: Both) -> None:
    scale = CLAMP | {"mode": "scale", "value": 3, "layer": 0, "index": 0}
    assert both.clamp(unit="range", clamps=[scale]).json()["watch"] == both.clamp(clamps=[scale]).json()["watch"]


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"model": "nope"}, 404, "Mapped models: tiny-base, tiny-chat, tiny-second, tiny-gpt."),
        ({"clamps": [CLAMP | {"layer": 3}]}, 422, "clamps.0.layer: 3 is not one of tiny-chat's layers, 0 to 2."),
        (
            {"clamps": [CLAMP, CLAMP | {"index": 4}]},
            422,
            "clamps.1.index: 4 is not one of tiny-chat's neurons, 0 to 3.",
        ),
        ({"model": "tiny-gpt", "clamps": [CLAMP | {"site": "gate"}]}, 422, "its sites are up and act."),
        ({"clamps": [CLAMP | {"site": "gate"}], "unit": "range"}, 422, "Run `make map`, or send unit raw."),
        ({"clamps": [CLAMP | {"site": "mlp"}]}, 422, "clamps.0.site should be 'up', 'gate' or 'act', not 'mlp'."),
        (
            {"model": "tiny-base", "prompt": None, "messages": [{"role": "user", "content": "Hi"}]},
            422,
            "no chat template",
        ),
        ({"messages": [{"role": "user", "content": "Hi"}]}, 422, "Give either `prompt` or `messages`, not both."),
        ({"max_new_tokens": 0}, 422, "max_new_tokens should be greater than or equal to 1, not 0."),
        ({"temperature": -1}, 422, "temperature should be greater than or equal to 0, not -1."),
        ({"mask": 1}, 422, "mask is not known here"),
        ({"watch": [10**9]}, 422, "watch: there is no token 1000000000"),
        ({"prompt": "dog " * 5000}, 422, "context of 256"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_run_is_refused_before_it_begins(
    both: Both, fields: dict[str, Any], status: int, sentence: str, stream: bool
) -> None:
    assert sentence in refusal(both.clamp(stream=stream, **fields), status).error


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"model":', "The body is not JSON"),
        ("[]", "The body should be a JSON object"),
        ("", "The body is missing."),
        ("{}", "model is missing."),
    ],
)
def test_a_body_that_is_no_request(both: Both, body: str, sentence: str) -> None:
    response = both.http.post("/api/v1/clamp", content=body, headers={"Content-Type": "application/json"})
    assert sentence in refusal(response, 422).error


def test_a_full_queue_is_passed_on_with_its_retry_after(both: Both) -> None:
    with both.slowed(0.05), both.stream(max_new_tokens=100) as running, both.stream(max_new_tokens=100) as waiting:
        assert running.status_code == waiting.status_code == 200
        for stream in (False, True):
            third = both.clamp(stream=stream)
            assert refusal(third, 503).error
            assert int(third.headers["Retry-After"]) > 0
    until(both.idle)


@pytest.mark.parametrize("path", ["/api/v1/clamp", "/v1/clamp"])
def test_closing_a_stream_stops_the_worker(both: Both, path: str) -> None:
    http = both.http if path.startswith("/api") else both.worker  # the second is what the first is measured against
    before = both.left()
    with both.slowed(0.05):
        with http.stream("POST", path, json=REQUEST | {"stream": True, "max_new_tokens": 200}) as response:
            source = iter(httpx2.EventSource(response))
            for _ in range(4):
                next(source)
        began = monotonic()
        until(both.idle)
        assert monotonic() - began < 2  # to its end it would have taken ten
    assert both.left() == before + 1


def test_a_place_in_the_queue_is_told_before_the_start(both: Both) -> None:
    with both.slowed(0.02), both.stream(max_new_tokens=20) as running:
        assert running.status_code == 200
        with both.stream(max_new_tokens=1) as waiting:
            events = events_of(waiting)
    assert events[0] == ClampWaiting(model=MODEL, position=1)
    assert [event.event for event in events[-6:]] == ["start", "token", "done", "token", "done", "summary"]


def test_closing_a_plain_request_stops_the_worker(both: Both) -> None:
    before = both.left()
    with both.slowed(0.05):
        with pytest.raises(httpx2.ReadTimeout):
            both.http.post("/api/v1/clamp", json=REQUEST | {"max_new_tokens": 200}, timeout=0.5)
        began = monotonic()
        until(both.idle)
        assert monotonic() - began < 2
    assert both.left() == before + 1


def test_leaving_while_waiting_frees_the_place(both: Both) -> None:
    with both.slowed(0.05), both.stream(max_new_tokens=100) as running:
        with both.stream() as waiting:
            assert waiting.status_code == 200
        until(lambda: both.worker.get("/v1/status").json()["waiting"] == 0)
        assert running.status_code == 200
    until(both.idle)


def test_readiness_tells_the_truth(both: Both, planted_data: Path, tmp_path: Path) -> None:
    assert both.http.get("/readyz").json() == ALIVE | {"run": "planted-1"}
    assert "neuronym_ready 1.0" in both.http.get("/metrics").text
    with served(create_app(Settings(data=tmp_path, worker_url=str(both.worker.base_url)))) as app:
        assert "No model is mapped yet" in refusal(httpx2.get(f"{app}/readyz"), 503).error
    with served(create_app(Settings(data=planted_data))) as app:
        assert "There is no worker" in refusal(httpx2.get(f"{app}/readyz"), 503).error
        assert httpx2.get(f"{app}/healthz").json() == ALIVE


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_worker_that_is_away(planted_data: Path, url: str | None, stream: bool) -> None:
    with served(create_app(Settings(data=planted_data, worker_url=url))) as app:
        response = httpx2.post(f"{app}/api/v1/clamp", json=REQUEST | {"stream": stream}, timeout=PATIENCE)
    sentence = refusal(response, 503).error
    assert ("does not answer" if url else "neuronym serve") in sentence
    assert int(response.headers["Retry-After"]) > 0


@contextmanager
def peer(answer: bytes) -> Iterator[str]:
    """The address of something that answers every request with these bytes and hangs up: a worker that dies or lies."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


START = {"event": "start", "model": MODEL, "seed": 0, "prompt_tokens": [1]}


def _chunk(text: str) -> bytes:
    return f"{len(text.encode()):x}\r\n{text}\r\n".encode()


def _stream(*chunks: str, ended: bool) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(map(_chunk, chunks)) + (b"0\r\n\r\n" if ended else b"")


BEGUN = f"event: start\ndata: {json.dumps(START)}\n\n"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (_stream(BEGUN, ended=False), "broke off"),
        (_stream(BEGUN, ended=True), "broke off"),
        (_stream(BEGUN, "event: dance\ndata: {}\n\n", ended=True), "one version"),
        (_stream(BEGUN, "data: nonsense\n\n", ended=True), "one version"),
    ],
    ids=["killed", "ended early", "unknown event", "nonsense"],
)
def test_a_stream_that_goes_wrong_ends_with_an_error(planted_data: Path, answer: bytes, sentence: str) -> None:
    with (
        peer(answer) as url,
        served(create_app(Settings(data=planted_data, worker_url=url))) as app,
        httpx2.stream("POST", f"{app}/api/v1/clamp", json=REQUEST | {"stream": True}) as response,
    ):
        events = events_of(response)
    assert [event.event for event in events] == ["start", "error"]
    assert isinstance(events[-1], ClampError)
    assert sentence in events[-1].error
    assert events[-1].status == 503


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", 503, "one version"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", 503, "one version"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{}", 503, "does not answer"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", 502, "The worker answered 502."),
    ],
    ids=["other shape", "no JSON", "killed", "no error of ours"],
)
def test_an_answer_that_is_none(planted_data: Path, answer: bytes, status: int, sentence: str) -> None:
    with peer(answer) as url, served(create_app(Settings(data=planted_data, worker_url=url))) as app:
        assert sentence in refusal(httpx2.post(f"{app}/api/v1/clamp", json=REQUEST), status).error
