"""`neuronym serve`: runs the app on a port, and a worker process beside it unless the settings name a worker.

The worker takes seconds to load, so it is started once the app answers.
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
from neuronym.access import exposure_refusal, reveal
from neuronym.settings import Settings

GRACE = 5  # seconds for running requests to end when the app is stopped


def serve(settings: Settings, open_browser: bool = False, measure: bool = False) -> None:
    """Serve until a signal stops the app; with `measure`, measure the mapped models meanwhile.

    Raises:
        ClickException: the port cannot be used, or others could reach the app and no token is set.
    """
    if refusal := exposure_refusal(settings.host, settings.token, "NEURONYM_TOKEN", guarded=settings.open):
        raise click.ClickException(refusal)
    listener = listen(settings.host, settings.port)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _exit)  # uvicorn ends first, then hands the signal on to us
    processes: list[Supervisor] = []
    if settings.worker_url is None:
        port, secret = free_port(), SecretStr(secrets.token_urlsafe())
        settings = settings.model_copy(update={"worker_url": f"http://127.0.0.1:{port}", "worker_secret": secret})
        processes.append(Supervisor(worker_command(port), environment=_worker_environment(settings)))
    if measure:
        processes.append(Supervisor(measure_command(), once=True, environment=_worker_environment(settings)))

    def announce() -> None:
        address = _address(settings.host, listener)
        click.echo(f"Neuronym is at {address}")
        for process in processes:
            process.start()
        if open_browser:
            webbrowser.open(address)

    try:
        _Server(settings, announce).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        for process in processes:
            process.stop()


def _worker_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that tell processes beside the app how to reach the worker.

    Not on their command line, where others on the machine could read the secret.
    """
    return {
        "NEURONYM_WORKER_URL": settings.worker_url or "",
        "NEURONYM_WORKER_SECRET": reveal(settings.worker_secret) or "",
    }


class _Server(uvicorn.Server):
    """A uvicorn server that calls `on_started` once it accepts requests."""

    def __init__(self, settings: Settings, on_started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            create_app(settings),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()


def listen(host: str, port: int) -> socket.socket:
    """Open a socket that listens on host and port; raise ClickException with one sentence when that fails."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.create_server(address, family=family, backlog=2048) as unnamed:
            # asyncio sets TCP_NODELAY, which sends small answers at once, only on sockets whose protocol is TCP.
            # create_server names none, and the second part of an answer would wait 40 ms for an acknowledgement.
            return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=unnamed.detach())
    except OSError as error:
        raise click.ClickException(_listen_failure(host, port, error)) from error


def _listen_failure(host: str, port: int, error: OSError) -> str:
    """The sentence that says why host and port cannot be listened on, with the mend."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken. Stop what listens there, or give another one with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights. Give one above 1023 with --port."
    return f"{host}:{port} cannot be listened on: {error.strerror}. Give an address of this machine with --host."


def _address(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _exit(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
