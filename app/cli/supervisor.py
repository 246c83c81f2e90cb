"""Runs processes beside the app: starts them, restarts a service that dies, ends them with the app.

It runs them by their command lines and never imports what the worker imports.
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

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds until a dead process is started again; doubled each time
SETTLED = 60.0  # seconds of running after which the next wait is FIRST_WAIT again
GRACE = 5.0  # seconds for a process to end by itself


def free_port() -> int:
    """Find a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def worker_command(port: int) -> list[str]:
    """The command line that starts a worker service on a loopback port."""
    return [sys.executable, "-m", "worker.cli", "serve", "--port", str(port)]


def measure_command() -> list[str]:
    """The command line that measures the mapped models not measured yet, and pauses for clamps."""
    return [sys.executable, "-m", "worker.cli", "effect", "--polite"]


class Supervisor:
    """Runs a command in a process: as a service, restarted whenever it ends, or `once`."""

    def __init__(self, command: Sequence[str], once: bool = False, environment: Mapping[str, str] = {}) -> None:
        self._command = [sys.executable, "-m", "app.cli.tether", str(os.getpid()), *command]
        self._once = once
        self._environment = {**os.environ, **environment}
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        # `app.cli.tether` ties the process to the thread that started it, so this thread lives as long as the process.
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the process; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the process, and wait until it has ended."""
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
        """Run the process until it ends or `stop` is called; return its exit code."""
        # In a process group of its own: Ctrl-C reaches only the app, which then ends the process.
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
