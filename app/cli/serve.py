"""`neuronym serve`: runs the app on a port, and processes beside it (`app.cli.processes`).

They take seconds to load, so they are started once the app answers.
"""

import errno
import gc
import logging
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from typing import NoReturn

import click
import uvicorn

from app.cli.first_mapping import FirstMapping
from app.cli.processes import Processes
from app.main import create_app
from neuronym.access import exposure_refusal
from neuronym.settings import Settings

GARBAGE = (2_000, 10, 50)  # new objects until the youngest are looked through; how often until older ones are
GRACE = 5  # seconds for running requests to end when the app is stopped


def serve(settings: Settings, open_browser: bool = False, measure: bool = False, first: str | None = None) -> None:
    """Serve until a signal stops the app; with `measure`, measure the mapped models meanwhile.

    Args:
        first: what to map, meanwhile too, where nothing is mapped yet.

    Raises:
        ClickException: the port cannot be used, or others could reach the app and no token is set.
    """
    if refusal := exposure_refusal(settings.host, settings.token, "NEURONYM_TOKEN", guarded=settings.open):
        raise click.ClickException(refusal)
    listener = listen(settings.host, settings.port)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _exit)  # uvicorn ends first, then hands the signal on to us
    processes = Processes(settings, measure, FirstMapping(settings.data, first) if first else None)

    def announce() -> None:
        address = _address(settings.host, listener)
        click.echo(f"Neuronym is at {address}")
        processes.start()
        if open_browser:
            webbrowser.open(address)

    try:
        _Server(processes, announce).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        processes.stop()


class _Server(uvicorn.Server):
    """A uvicorn server that calls `on_started` once it accepts requests."""

    def __init__(self, processes: Processes, on_started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            create_app(processes.settings, processes.mapping),
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
        _hold_up_fewer_answers()
        if self.started:
            self._on_started()


def _hold_up_fewer_answers() -> None:
    """Look through all objects for garbage every thousand requests, where Python does every thirty.

    That holds up an answer for a tenth of a second. What is loaded at the start stays, and is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


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
