"""How long one waits for the app on a kept-alive connection, and what sending small answers at once does to that.

Two servers of the same app on one label file (a layer of the demo model) and one worker take turns: `plain` listens on
the socket that Python's `socket.create_server` makes, `ours` on that of `neuronym serve`. On a plain one asyncio leaves
Nagle's algorithm on, and the second part of an answer waits until the first was acknowledged: about 40 ms on Linux.
A streamed step is one token of both texts of a clamp, as a mean over the whole stream.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep

import httpx2
import uvicorn

from app.cli.serve import listen
from app.cli.supervisor import free_port, worker_command
from app.main import create_app
from benchmarks.timing import Turn, describe_machine, median_ratio
from neuronym.settings import Settings
from worker.checkpoints.sources import DEMO_NAME

SOCKETS: dict[str, Callable[[], socket.socket]] = {
    "plain": lambda: socket.create_server(("127.0.0.1", 0)),
    "ours": lambda: listen("127.0.0.1", 0),
}
LAYER = 29
CLAMP = {"layer": LAYER, "index": 808, "site": "act", "value": 20}
STEPS = 24  # of a streamed clamp
REQUEST = {"model": DEMO_NAME, "prompt": "My favourite animal is the", "clamps": [CLAMP], "max_new_tokens": STEPS}
TURNS = 40  # the first one is left out
PATIENCE = 180.0  # seconds
TARGETS = {"search, JSON, ours / plain": "at most 0.5", "search, page, ours / plain": "at most 0.7"}


def serve(kind: str) -> None:
    """Serve the app on one kind of socket, and print its port."""
    listening = SOCKETS[kind]()
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(create_app(Settings()), log_level="warning", access_log=False, server_header=False)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def running_servers(data: Path) -> Iterator[dict[str, httpx2.Client]]:
    """Run both servers and their worker inside the block; yield a client of each server by the kind of its socket."""
    port = free_port()
    environment = os.environ | {"NEURONYM_DATA": str(data), "NEURONYM_WORKER_URL": f"http://127.0.0.1:{port}"}
    with ExitStack() as ending:

        def start(command: list[str]) -> "subprocess.Popen[str]":
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            ending.callback(process.wait)
            ending.callback(process.terminate)
            return process

        start(worker_command(port))
        clients = {}
        for kind in SOCKETS:
            output = start([sys.executable, "-m", "benchmarks.latency", "--serve", kind]).stdout
            assert output is not None
            address = f"http://127.0.0.1:{output.readline().strip()}"
            clients[kind] = ending.enter_context(httpx2.Client(base_url=address, timeout=PATIENCE))
        deadline = monotonic() + PATIENCE
        while not all(client.get("/readyz").is_success for client in clients.values()):
            assert monotonic() < deadline, clients["ours"].get("/readyz").text
            sleep(0.2)
        yield clients


def time_request(client: httpx2.Client, path: str) -> float:
    """Time one answer, in seconds."""
    began = perf_counter()
    client.get(path).raise_for_status()
    return perf_counter() - began


def time_step(client: httpx2.Client) -> float:
    """Mean seconds of a step of a streamed clamp, from the first bytes that arrive to the last."""
    with client.stream("POST", "/api/v1/clamp", json=REQUEST | {"stream": True}) as answer:
        arrivals = [perf_counter() for _ in answer.iter_raw()]
    return (arrivals[-1] - arrivals[0]) / STEPS


def measure() -> dict[str, object]:
    """Measure the median milliseconds of each request on both servers, and the ratio of the two."""
    with tempfile.TemporaryDirectory() as folder:
        part = ["--views", "down", "--layers", str(LAYER), "--data", folder]
        command = [sys.executable, "-m", "worker.cli", "map", DEMO_NAME, *part]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with running_servers(Path(folder)) as clients:
            return _compare(clients)


def _compare(clients: dict[str, httpx2.Client]) -> dict[str, object]:
    visits: dict[str, tuple[int, Callable[[httpx2.Client], float]]] = {
        "search, JSON": (TURNS, partial(time_request, path="/api/v1/search?q=dog")),
        "search, page": (TURNS, partial(time_request, path="/search?q=dog")),
        "streamed step": (4, time_step),
    }
    figures: dict[str, object] = {}
    for name, (count, visit) in visits.items():
        times: Sequence[Turn] = [{kind: visit(client) for kind, client in clients.items()} for _ in range(count)][1:]
        for kind in clients:
            figures[f"{name}, {kind}, ms"] = round(1000 * median(turn[kind] for turn in times), 1)
        figures[f"{name}, ours / plain"] = median_ratio(times, "ours", "plain")
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=SOCKETS, help="be one of the two servers")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    else:
        about = describe_machine()
        print(json.dumps({"machine": about, "targets": TARGETS, "figures": measure()}))
