"""A real uvicorn on a free port of 127.0.0.1, in a thread."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from time import monotonic, sleep

import uvicorn
from starlette.types import ASGIApp

PATIENCE = 180.0  # seconds; the machine may be busy, and the demo model takes its time to load


@contextmanager
def served(service: ASGIApp, send_buffer: int | None = None) -> Iterator[str]:
    """The address of a service while it is served; a small `send_buffer` makes it feel slow readers soon."""
    server = uvicorn.Server(uvicorn.Config(service, port=0, log_level="error", ws="none", timeout_graceful_shutdown=5))
    thread = Thread(target=server.run)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    listening = server.servers[0].sockets[0]
    if send_buffer:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; fail when it does not come."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, "it never came"
        sleep(0.005)


def ask(address: str) -> socket.socket:
    """Ask for the page and read nothing of it."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    return connection
