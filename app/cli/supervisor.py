"""Keeps processes beside the app: starts them, starts a service again when it dies, ends them with the app.

Knows a command line and a port; never imports what the worker imports.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from time import monotonic

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds until a dead worker is started again; doubled each time
SETTLED = 60.0  # seconds after which a worker counts as having run
GRACE = 5.0  # seconds a worker has to end by itself


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def worker_command(port: int) -> list[str]:
    """What starts a worker service on a loopback port."""
    return [sys.executable, "-m", "worker.cli", "serve", "--port", str(port)]


def measure_command() -> list[str]:
    """What measures the mapped models that are not measured yet, giving way to clamps."""
    return [sys.executable, "-m", "worker.cli", "effect", "--polite"]


class Supervisor:
    """Runs `command` until it is stopped: again and again as a service, or `once`."""

    def __init__(self, command: Sequence[str], once: bool = False, environment: Mapping[str, str] = {}) -> None:
        self._command = [sys.executable, "-m", "app.cli.tether", str(os.getpid()), *command]
        self._once = once
        self._environment = {**os.environ, **environment}
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # The leash holds on to the thread that started the worker, so one thread does so for as long as it runs.
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the worker; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker, and wait until it has."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stopping.is_set():
            began = monotonic()
            code = self._run_once()
            if self._stopping.is_set():
                return
            if self._once:
                if code:
                    log.warning("`%s` ended with code %s.", " ".join(self._command[4:]), code)
                return
            wait = FIRST_WAIT if monotonic() - began > SETTLED else wait
            log.warning("The worker ended with code %s. It is started again in %g s.", code, wait)
            self._stopping.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _run_once(self) -> int:
        """Run the worker until it ends or is to end; its exit code."""
        # A group of its own: Ctrl-C is for the app, which then ends the worker.
        with subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, process_group=0, env=self._environment
        ) as process:
            while process.poll() is None:
                if self._stopping.wait(0.1):
                    self._end(process)
            return process.returncode

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
