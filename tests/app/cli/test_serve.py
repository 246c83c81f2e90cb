"""`neuronym serve` as a process: the page first, a worker beside it, both gone at the end."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest

from app.cli.serve import listen
from neuronym.settings import ROOT
from tests.serving import PATIENCE, until

PROGRAM = [sys.executable, "-m", "app.cli"]


class Running:
    """A running `neuronym serve` that has printed its address."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process = process
        self.http = httpx2.Client(base_url=address, timeout=PATIENCE)

    def ready(self) -> bool:
        """Whether a clamp would run."""
        return self.http.get("/readyz").is_success

    def workers(self) -> list[int]:
        """Ids of the worker processes that run below it."""
        table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in table.splitlines()]
        return [int(pid) for pid, parent, args in rows if int(parent) == self.process.pid and "worker.cli" in args]


@contextmanager
def serving(data: Path, **environment: str) -> Iterator[Running]:
    """Serve a data folder on a free port."""
    settings = os.environ | {"NEURONYM_DATA": str(data)} | environment
    command = [*PROGRAM, "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.fullmatch(r"Neuronym is at (http://127\.0\.0\.1:\d+)\n", line)
            assert address, line
            running = Running(process, address[1])
            with running.http:
                yield running
        finally:
            process.kill()


def test_the_page_is_there_when_the_address_is_printed(planted_data: Path) -> None:
    with serving(planted_data, NEURONYM_WORKER_URL="http://127.0.0.1:9") as app:
        assert app.http.get("/").status_code == 200
        assert app.http.get("/api/v1/models").json()["run"] == "planted-1"
        assert not app.workers()  # one is named, so none is started
        app.process.send_signal(signal.SIGINT)
        assert app.process.wait(PATIENCE) == 0


def test_a_worker_runs_beside_it_and_comes_back(data_folder: Path) -> None:
    with serving(data_folder) as app:
        until(app.ready)
        request: dict[str, Any] = {"model": "tiny", "prompt": "The dog", "max_new_tokens": 2}
        assert app.http.post("/api/v1/clamp", json=request).status_code == 200
        (worker,) = app.workers()
        os.kill(worker, signal.SIGKILL)
        until(lambda: not app.ready())
        assert app.http.get("/").status_code == 200
        refused = app.http.post("/api/v1/clamp", json=request)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        until(app.ready)
        assert app.http.post("/api/v1/clamp", json=request).status_code == 200
        assert app.workers() != [worker]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_worker_is_left_behind(data_folder: Path, how: signal.Signals) -> None:
    with serving(data_folder) as app:
        until(app.workers)
        (worker,) = app.workers()
        app.process.send_signal(how)
        app.process.wait(PATIENCE)
        until(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--port", "{taken}"], "Error: Port {taken} on 127.0.0.1 is taken. Stop what listens there, or give another"),
        (["--port", "many"], "Error: port should be a valid integer"),
        (["--port", "65536"], "Error: port should be less than or equal to 65535"),
        (["--host", "203.0.113.1", "--port", "0"], "Error: 203.0.113.1:0 cannot be listened on"),
        (["--host", "no such host", "--port", "0"], "Error: no such host:0 cannot be listened on"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(planted_data: Path, options: list[str], sentence: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [*PROGRAM, "serve", *(option.format(taken=port) for option in options)]
        settings = os.environ | {"NEURONYM_DATA": str(planted_data), "NEURONYM_OPEN": "1"}
        ended = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert ended.returncode in (1, 2)
    assert sentence.format(taken=port) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout


def test_a_port_that_needs_rights_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)  # root may bind any port
    with pytest.raises(click.ClickException, match=r"Port 80 needs more rights\. Give one above 1023"):
        listen("127.0.0.1", 80)


def test_small_answers_are_sent_at_once() -> None:
    """asyncio sets TCP_NODELAY on what it accepts; the socket that `listen` makes must let it see that this is TCP."""
    no_delay: list[int] = []

    class Looking(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted = transport.get_extra_info("socket")
            no_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async def one_visit() -> None:
        with listen("127.0.0.1", 0) as listening:
            server = await asyncio.get_running_loop().create_server(Looking, sock=listening)
            _, writer = await asyncio.open_connection(*listening.getsockname())
            await writer.drain()
            while not no_delay:
                await asyncio.sleep(0.01)
            writer.close()
            server.close()

    asyncio.run(one_visit())
    assert no_delay == [1]
