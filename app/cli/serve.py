"""`neuronym serve`: the app on a port, and a worker beside it unless one is named.

The page comes first: the worker, which takes seconds to load, is started once the page is served.
"""

import errno
import logging
import secrets
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from typing import NoReturn

import click
import uvicorn
from pydantic import SecretStr

from app.cli.supervisor import Supervisor, free_port, measure_command, worker_command
from app.main import create_app
from neuronym.access import exposure, reveal
from neuronym.settings import Settings

GRACE = 5  # seconds that running answers have to end when the app is stopped


def serve(settings: Settings, open_browser: bool = False, measure: bool = False) -> None:
    """Serve until told to stop, and `measure` meanwhile. ClickException: no port, or an open door."""
    if refusal := exposure(settings.host, settings.token, "NEURONYM_TOKEN", guarded=settings.open):
        raise click.ClickException(refusal)
    listening = listen(settings.host, settings.port)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _exit)  # uvicorn ends first, then hands the signal on to us
    beside: list[Supervisor] = []
    if settings.worker_url is None:
        port, secret = free_port(), SecretStr(secrets.token_urlsafe())
        settings = settings.model_copy(update={"worker_url": f"http://127.0.0.1:{port}", "worker_secret": secret})
        beside.append(Supervisor(worker_command(port), environment=_of_worker(settings)))
    if measure:
        beside.append(Supervisor(measure_command(), once=True, environment=_of_worker(settings)))

    def served() -> None:
        address = _address(settings.host, listening)
        click.echo(f"Neuronym is at {address}")
        for process in beside:
            process.start()
        if open_browser:
            webbrowser.open(address)

    try:
        _Server(settings, served).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        for process in beside:
            process.stop()


def _of_worker(settings: Settings) -> dict[str, str]:
    """What processes beside the app have to know of the worker, in their environment: a command line can be read."""
    return {
        "NEURONYM_WORKER_URL": settings.worker_url or "",
        "NEURONYM_WORKER_SECRET": reveal(settings.worker_secret) or "",
    }


class _Server(uvicorn.Server):
    """A server that says when the page can be had."""

    def __init__(self, settings: Settings, served: Callable[[], None]) -> None:
        config = uvicorn.Config(
            create_app(settings),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._served = served

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._served()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on host and port; ClickException with one sentence when it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.create_server(address, family=family, backlog=2048) as unnamed:
            # asyncio sends small answers at once (TCP_NODELAY) only on sockets that say their protocol is TCP, which
            # those of create_server do not; the second part of an answer then waits 40 ms for an acknowledgement.
            return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=unnamed.detach())
    except OSError as error:
        raise click.ClickException(_why_not(host, port, error)) from error


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken. Stop what listens there, or give another one with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights. Give one above 1023 with --port."
    return f"{host}:{port} cannot be listened on: {error.strerror}. Give an address of this machine with --host."


def _address(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _exit(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
