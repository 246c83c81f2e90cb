"""The worker over HTTP, against a real server: answers, refusals, the queue, clients that leave, faults."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest
import torch
from pydantic import TypeAdapter

from neuronym.contract import (
    ClampEnd,
    ClampError,
    ClampEvent,
    ClampResult,
    ClampStart,
    ClampWaiting,
    ErrorAnswer,
    TokenizeAnswer,
    WorkerStatus,
)
from neuronym.settings import Settings
from tests.serving import PATIENCE, served, until
from worker.checkpoints.checkpoint import open_checkpoint
from worker.serving import runner as running
from worker.serving import service as serving_http
from worker.serving.runner import Runner
from worker.serving.service import create_service
from worker.steering.generation import collect
from worker.steering.models import Opener, footprint

EVENT: TypeAdapter[ClampEvent] = TypeAdapter(ClampEvent)
CLAMP = {"layer": 1, "index": 7, "site": "act", "value": 40}
REQUEST: dict[str, Any] = {"model": "tiny", "prompt": "My favourite animal is the", "clamps": [CLAMP]}


class Served:
    """A running worker service, with its runner for tests to look into."""

    def __init__(self, url: str, runner: Runner) -> None:
        self.runner = runner
        self.http = httpx2.Client(base_url=url, timeout=PATIENCE)

    def clamp(self, **fields: Any) -> httpx2.Response:
        """Ask for a clamp."""
        return self.http.post("/v1/clamp", json=REQUEST | fields)

    def clamp_and_leave(self, **fields: Any) -> None:
        """Ask for a clamp and hang up soon after."""
        self.http.post("/v1/clamp", json=REQUEST | fields, timeout=0.5)

    def stream(self, **fields: Any) -> Any:
        """Open a streamed clamp."""
        return self.http.stream("POST", "/v1/clamp", json=REQUEST | {"stream": True} | fields)

    def tokens(self, **fields: Any) -> TokenizeAnswer:
        """Ask for the tokens of a text or chat."""
        response = self.http.post("/v1/tokenize", json={"model": "tiny"} | fields)
        return TokenizeAnswer.model_validate(response.json())

    def status(self) -> WorkerStatus:
        """The status that the service answers."""
        return WorkerStatus.model_validate(self.http.get("/v1/status").json())

    def ended(self, outcome: str) -> float:
        """The number of clamps that ended with `outcome`."""
        value = self.runner.metrics.registry.get_sample_value("neuronym_worker_clamps_total", {"outcome": outcome})
        return value or 0

    def idle(self) -> bool:
        """Whether no clamp runs or waits."""
        status = self.status()
        return (status.running, status.waiting) == (0, 0)

    @contextmanager
    def before_each_pass(self, act: Callable[[], None]) -> Iterator[None]:
        """Do something on the model's thread whenever the tiny model is about to compute."""
        live = self.runner.models.ready("tiny")
        assert live is not None
        handle = live.model.register_forward_pre_hook(lambda *_: act())
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def serving(models: Mapping[str, Opener], send_buffer: int | None = None, **settings: Any) -> Iterator[Served]:
    """A service of the given models."""
    service = create_service(Settings(**settings), models)
    with served(service, send_buffer) as url:
        worker = Served(url, service.state.runner)
        with worker.http:
            yield worker


@pytest.fixture(scope="module")
def tiny(tiny_llama: Path) -> Opener:
    """A function that opens the tiny Llama."""
    return partial(open_checkpoint, str(tiny_llama))


@pytest.fixture(scope="module")
def worker(tiny: Opener) -> Iterator[Served]:
    """A worker with the tiny Llama and room for two to wait."""
    with serving({"tiny": tiny}, queue=2) as worker:
        until(lambda: worker.http.get("/readyz").is_success)
        yield worker


def events_of(response: httpx2.Response) -> list[ClampEvent]:
    """The events of a streamed answer, each named as its data says."""
    events = []
    for sent in httpx2.EventSource(response):
        event = EVENT.validate_python({"event": sent.event} | json.loads(sent.data))
        assert event.event == sent.event
        events.append(event)
    return events


def waits(lines: Iterator[str]) -> ClampWaiting:
    """The next event of a stream, which must be one of waiting."""
    assert next(lines) == "event: waiting"
    waiting = ClampWaiting.model_validate_json(next(lines).removeprefix("data: "))
    assert next(lines) == ""
    return waiting


def refusal(response: httpx2.Response, status: int) -> str:
    """The sentence of a refusal, which must be of the one shape."""
    answer = ErrorAnswer.model_validate_json(response.content)
    assert (response.status_code, answer.status) == (status, status)
    assert answer.error == "; ".join(answer.errors)
    return answer.error


# --- answers -------------------------------------------------------------------------------------------------------


def test_only_who_knows_the_secret_is_answered(tiny: Opener) -> None:
    with serving({"tiny": tiny}, worker_secret="between the two of us") as worker:
        for headers in ({}, {"Authorization": "Bearer between the two of them"}):
            for answer in (
                worker.http.post("/v1/clamp", json=REQUEST, headers=headers),
                worker.http.post("/v1/tokenize", json={"model": "tiny", "text": "a"}, headers=headers),
                worker.http.get("/v1/status", headers=headers),
            ):
                assert answer.status_code == 401
                assert "NEURONYM_WORKER_SECRET" in ErrorAnswer.model_validate(answer.json()).error
        assert worker.http.get("/healthz").is_success and worker.http.get("/metrics").is_success
        worker.http.headers["Authorization"] = "Bearer between the two of us"
        until(lambda: worker.http.get("/readyz").is_success)
        assert worker.clamp(max_new_tokens=1).status_code == 200
        assert worker.status().running == 0


def test_a_clamp_is_answered_as_a_whole_or_as_it_comes(worker: Served) -> None:
    fields = {"max_new_tokens": 5, "watch": [" dog"], "top_logprobs": 2}
    whole = ClampResult.model_validate(worker.clamp(**fields).json())
    with worker.stream(**fields) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = events_of(response)
    assert isinstance(events[0], ClampStart)
    assert isinstance(events[-1], ClampEnd)
    streamed = collect(events)
    assert streamed.runs == whole.runs
    assert streamed.watch == whole.watch
    assert len(whole.runs["clamped"].tokens) == 5


def test_a_seed_is_kept_over_requests(worker: Served) -> None:
    first, again, other = (worker.clamp(temperature=1, seed=seed).json()["runs"] for seed in (1, 1, 2))
    assert first == again != other


def test_tokens_of_a_text_and_of_a_chat(worker: Served) -> None:
    text = TokenizeAnswer.model_validate(
        worker.http.post("/v1/tokenize", json={"model": "tiny", "text": "é dog"}).json()
    )
    assert "".join(token.text for token in text.tokens) == "é dog"
    assert text.context == 256
    messages = [{"role": "user", "content": "dog"}]
    chat = worker.tokens(messages=messages)
    with worker.stream(prompt=None, messages=messages, max_new_tokens=1) as response:
        start = events_of(response)[0]
    assert isinstance(start, ClampStart)
    assert [token.token_id for token in chat.tokens] == start.prompt_tokens


def test_it_says_how_it_is(worker: Served) -> None:
    until(worker.idle)
    status = worker.status()
    assert status.device == "cpu"
    assert status.capacity == 3
    assert [(model.name, model.state) for model in status.models] == [("tiny", "ready")]
    assert worker.http.get("/healthz").is_success
    before = worker.ended("done")
    worker.clamp(max_new_tokens=1)
    assert worker.ended("done") == before + 1
    metrics = worker.http.get("/metrics").text
    assert 'neuronym_worker_models{state="ready"} 1.0' in metrics
    assert "neuronym_worker_running 0.0" in metrics
    assert 'neuronym_worker_clamps_total{outcome="done"}' in metrics


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"model": "other"}, 404, "There is no model 'other'. There are: tiny."),
        ({"messages": [{"role": "user", "content": "x"}]}, 422, "Give either `prompt` or `messages`"),
        ({"clamps": [CLAMP | {"layer": 4}]}, 422, "clamps.0.layer: 4 is not in 0 to 3."),
        ({"clamps": [CLAMP] * 65}, 422, "clamps should have at most 64 items"),
        ({"clamps": [CLAMP | {"value": "NaN"}]}, 422, "clamps.0.value should be a finite number, not 'NaN'."),
        ({"clamps": [CLAMP | {"value": 1e308}], "baseline": False}, 422, "clamps: these values drive the model beyond"),
        ({"prompt": "dog " * 400}, 422, "context of 256"),
        ({"watch": [311_000]}, 422, "watch: there is no token 311000"),
        ({"volume": 11}, 422, "volume is not known here"),
        ({"max_new_tokens": 0}, 422, "max_new_tokens should be greater than or equal to 1, not 0."),
    ],
)
def test_what_cannot_be_run_is_refused_in_the_one_shape(
    worker: Served, fields: dict[str, Any], status: int, sentence: str, stream: bool
) -> None:
    response = worker.clamp(stream=stream, **fields)
    if stream and response.status_code == 200:  # found out after it had begun
        last = [line for line in response.text.splitlines() if line.startswith("data: ")][-1]
        assert sentence in ClampError.model_validate_json(last.removeprefix("data: ")).error
    else:
        assert sentence in refusal(response, status)
    until(worker.idle)


def test_addresses_and_methods_that_are_not_there(worker: Served) -> None:
    refusal(worker.http.get("/v2/clamp"), 404)
    refusal(worker.http.get("/v1/clamp"), 405)
    refusal(worker.http.post("/v1/clamp", content=b"{"), 422)
    refusal(worker.http.post("/v1/tokenize", json={"model": "other", "text": "x"}), 404)


# --- the queue -----------------------------------------------------------------------------------------------------


@contextmanager
def held(worker: Served) -> Iterator[None]:
    """A first client whose run stands still before its first pass."""
    reached, go = Event(), Event()

    def stand_still() -> None:
        reached.set()
        assert go.wait(PATIENCE)

    with worker.before_each_pass(stand_still), worker.stream(max_new_tokens=1) as response:
        assert reached.wait(PATIENCE)
        try:
            yield
        finally:
            go.set()
        assert isinstance(events_of(response)[-1], ClampEnd)


def test_when_the_queue_is_full_a_client_is_told_when_to_come_again(worker: Served) -> None:
    lines: list[Iterator[str]] = []  # to let go of one hangs up
    with ExitStack() as waiting:
        with held(worker):
            for place in (1, 2):
                lines.append(waiting.enter_context(worker.stream(max_new_tokens=2)).iter_lines())
                assert waits(lines[-1]) == ClampWaiting(model="tiny", position=place)
            assert (worker.status().running, worker.status().waiting) == (1, 2)
            for stream in (False, True):
                refused = worker.clamp(stream=stream)
                assert "queue is full" in refusal(refused, 503)
                assert int(refused.headers["retry-after"]) >= 1
        until(worker.idle)


def test_a_client_that_leaves_the_queue_frees_its_place_at_once(worker: Served) -> None:
    passes: list[None] = []
    with held(worker):
        with worker.stream() as response:
            assert waits(response.iter_lines()).position == 1
        until(lambda: worker.status().waiting == 0)
        with pytest.raises(httpx2.ReadTimeout):
            worker.clamp_and_leave()
        until(lambda: worker.status().waiting == 0)
        assert worker.status().running == 1
    with worker.before_each_pass(lambda: passes.append(None)):
        until(worker.idle)
    assert not passes


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_its_run_stops_it(worker: Served, stream: bool) -> None:
    passes: list[None] = []
    slow = Event()

    def count() -> None:
        passes.append(None)
        slow.wait(0.02)

    with worker.before_each_pass(count):
        if stream:
            with worker.stream(max_new_tokens=200) as response:
                lines = response.iter_lines()
                until(lambda: next(lines).startswith("event: token"))
        else:
            with pytest.raises(httpx2.ReadTimeout):
                worker.clamp_and_leave(max_new_tokens=200)
        until(worker.idle)
        at_leaving = len(passes)
        worker.clamp(max_new_tokens=1)  # its turn comes after the step the other was in
        assert len(passes) <= at_leaving + 2
    assert 0 < at_leaving < 150


def test_a_client_that_does_not_read_has_left(tiny: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_http, "STALL", 0.5)
    body = json.dumps(REQUEST | {"stream": True, "max_new_tokens": 240, "top_logprobs": 20}).encode()
    head = f"POST /v1/clamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    with serving({"tiny": tiny}, send_buffer=4096) as worker, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((worker.http.base_url.host, worker.http.base_url.port))
        client.sendall(head.encode() + b"\r\n\r\n" + body)
        until(lambda: worker.ended("left") == 1)
        assert worker.idle()
        assert worker.clamp(max_new_tokens=1).is_success


@pytest.mark.parametrize("fields", [{"prompt": "\ud800"}, {"messages": [{"role": "user", "content": "\udfff"}]}])
def test_text_that_is_no_text_is_refused(worker: Served, fields: dict[str, Any]) -> None:
    body = json.dumps({key: value for key, value in REQUEST.items() if key != "prompt"} | fields)
    headers = {"Content-Type": "application/json"}
    assert "valid string" in refusal(worker.http.post("/v1/clamp", content=body, headers=headers), 422)


# --- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory_is_told_and_survived(worker: Served, fault: Exception) -> None:
    def fail() -> None:
        raise fault

    with worker.before_each_pass(fail):
        response = worker.clamp()
        assert "out of memory" in refusal(response, 503)
        assert int(response.headers["retry-after"]) >= 1
        with worker.stream() as streamed:
            last = events_of(streamed)[-1]
    assert isinstance(last, ClampError)
    assert last.status == 503
    assert worker.clamp(max_new_tokens=2).is_success
    until(worker.idle)


def test_a_fault_nobody_foresaw_is_told_without_its_inside(worker: Served) -> None:
    def fail() -> None:
        raise ZeroDivisionError("secret")

    with worker.before_each_pass(fail):
        assert "secret" not in refusal(worker.clamp(), 500)
        with worker.stream() as streamed:
            last = events_of(streamed)[-1]
    assert isinstance(last, ClampError)
    assert (last.status, "secret" in last.error) == (500, False)
    assert worker.clamp(max_new_tokens=2).is_success


BROKEN_DEVICE = """
import sys, torch
from functools import partial
from tests.worker.serving.test_service import REQUEST, serving
from worker.checkpoints.checkpoint import open_checkpoint

def fail():
    raise torch.AcceleratorError("CUDA error: device-side assert triggered")

with serving({"tiny": partial(open_checkpoint, sys.argv[1])}) as worker:
    worker.clamp(max_new_tokens=1)
    with worker.before_each_pass(fail):
        worker.clamp()
"""


def test_a_broken_device_ends_the_process(tiny_llama: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", BROKEN_DEVICE, str(tiny_llama)], capture_output=True, timeout=120)
    assert ended.returncode == 70
    assert b"only a new process can leave" in ended.stderr


# --- several models ------------------------------------------------------------------------------------------------


def test_models_take_turns_in_a_memory_for_one(tiny: Opener) -> None:
    budget = footprint(tiny(), torch.device("cpu"))
    with serving({"tiny": tiny, "twin": tiny}, model_memory=budget) as worker:
        for name, states in (("twin", ["available", "ready"]), ("tiny", ["ready", "available"])):
            assert worker.clamp(model=name, max_new_tokens=2).json()["model"] == name
            assert [model.state for model in worker.status().models] == states
        unasked = worker.http.post("/v1/tokenize", json={"model": "twin", "text": "dog", "load": False})
        assert refusal(unasked, 503) == "twin is not loaded."
        assert [model.state for model in worker.status().models] == ["ready", "available"]
        assert worker.tokens(model="twin", text="dog").tokens
        assert [model.state for model in worker.status().models] == ["available", "ready"]


def test_a_model_unloaded_while_a_run_waited_is_loaded_again(tiny: Opener) -> None:
    budget = footprint(tiny(), torch.device("cpu"))
    with serving({"tiny": tiny, "twin": tiny}, model_memory=budget) as worker:
        until(lambda: worker.http.get("/readyz").is_success)
        with ExitStack() as waiting:
            with held(worker):
                lines = waiting.enter_context(worker.stream(max_new_tokens=2)).iter_lines()
                assert waits(lines).position == 1
                worker.runner.models.shrink()
                worker.runner.models._unload_oldest()
            assert "event: summary" in list(lines)


def test_a_worker_is_ready_once_a_model_is(tiny: Opener, tmp_path: Path) -> None:
    gate = Event()

    def late() -> Any:
        assert gate.wait(PATIENCE)
        return tiny()

    gone = partial(open_checkpoint, str(tmp_path / "gone"))
    service = create_service(Settings(), {"gone": gone, "tiny": late})
    with served(service) as url, httpx2.Client(base_url=url, timeout=PATIENCE) as http:
        until(lambda: http.get("/v1/status").json()["models"][1]["state"] == "loading")
        assert "There is no folder or file" in refusal(http.get("/readyz"), 503)
        assert refusal(http.get("/readyz"), 503).endswith("tiny is loading, 0% done.")
        gate.set()
        until(lambda: http.get("/readyz").is_success)
        assert http.post("/v1/clamp", json=REQUEST).is_success
        assert "There is no folder or file" in refusal(http.post("/v1/clamp", json=REQUEST | {"model": "gone"}), 503)


def test_a_library_that_fails_is_quoted(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise ImportError("spam is required when loading an egg\nand more")

    with serving({"tiny": broken}) as worker:
        until(lambda: worker.status().models[0].state == "failed")
        sentence = (
            "tiny cannot be loaded: ImportError, spam is required when loading an egg. The worker's log has the rest."
        )
        assert refusal(worker.http.get("/readyz"), 503) == sentence
    assert "and more" in caplog.text and "Traceback" in caplog.text


def test_a_stream_says_that_its_model_is_loading(tiny: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOOK", 0.01)
    gate = Event()

    def late() -> Any:
        assert gate.wait(PATIENCE)
        return tiny()

    with serving({"tiny": tiny, "late": late}) as worker:
        until(lambda: worker.http.get("/readyz").is_success)
        with worker.stream(model="late", max_new_tokens=1) as response:
            lines = response.iter_lines()
            assert waits(lines) == ClampWaiting(model="late", position=0, loading=0.0)
            assert worker.status().models[1].model_dump() == {
                "name": "late",
                "state": "loading",
                "loaded": 0.0,
                "error": None,
            }
            gate.set()
            events = [line for line in lines if line.startswith("event: ") and line != "event: waiting"]
        assert events[0] == "event: start"
        assert events[-1] == "event: summary"


@pytest.mark.parametrize("stream", [False, True])
def test_what_only_the_model_can_refuse_is_refused_once_it_is_loaded(tiny: Opener, stream: bool) -> None:
    with serving({"tiny": tiny, "twin": tiny}) as worker:
        until(lambda: worker.http.get("/readyz").is_success)
        before = worker.ended("refused")
        response = worker.clamp(model="twin", clamps=[CLAMP | {"layer": 4}], stream=stream)
        if stream:
            last = ClampError.model_validate_json(response.text.strip().splitlines()[-1].removeprefix("data: "))
            assert (last.status, last.error) == (422, "clamps.0.layer: 4 is not in 0 to 3.")
        else:
            assert refusal(response, 422) == "clamps.0.layer: 4 is not in 0 to 3."
        assert worker.ended("refused") == before + 1


def test_who_leaves_while_a_model_loads_frees_the_place(tiny: Opener) -> None:
    gate = Event()

    def late() -> Any:
        assert gate.wait(PATIENCE)
        return tiny()

    with serving({"tiny": tiny, "late": late}) as worker:
        until(lambda: worker.http.get("/readyz").is_success)
        with worker.stream(model="late") as response:
            assert waits(response.iter_lines()).loading == 0.0
        until(worker.idle)
        gate.set()
        assert worker.clamp(max_new_tokens=1).is_success


def test_a_worker_without_models_says_so() -> None:
    with serving({}) as worker:
        assert "map one first" in refusal(worker.http.get("/readyz"), 503)
        assert "map one first" in refusal(worker.clamp(), 404)


def test_the_first_model_that_is_mapped_is_loaded(tiny: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LOOK_AGAIN", 0.01)
    models: dict[str, Opener] = {}
    with serving(models) as worker:
        assert "map one first" in refusal(worker.http.get("/readyz"), 503)
        models["tiny"] = tiny
        until(lambda: worker.http.get("/readyz").is_success)
