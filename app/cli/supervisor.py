"""Runs processes beside the app: starts them, restarts a service that dies, ends them with the app.

It runs them by their command lines and never imports what the worker imports.
"""

import logging
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
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


def map_command(asked: str) -> list[str]:
    """The command line that maps what is asked, publishes as it comes, and tells its progress in JSON lines."""
    return [sys.executable, "-m", "worker.cli", "map", *shlex.split(asked), "--publish-early", "--json"]


def measure_command() -> list[str]:
    """The command line that measures the mapped models not measured yet, and pauses for clamps."""
    return [sys.executable, "-m", "worker.cli", "effect", "--polite"]


class Supervisor:
    """Runs a command in a process: as a service, restarted whenever it ends, or `once`.

    Args:
        read: called with each line that the process writes to standard output, on another thread.
        ended: called with the exit code of a process that ran `once` to its end, be it good or bad.
    """

    def __init__(
        self,
        command: Sequence[str],
        once: bool = False,
        environment: Mapping[str, str] = {},
        read: Callable[[str], object] | None = None,
        ended: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._command = [sys.executable, "-m", "app.cli.tether", str(os.getpid()), *command]
        self._once = once
        self._environment = {**os.environ, **environment}
        self._read = read
        self._ended = ended
        self._stopping = threading.Event()
        # `app.cli.tether` ties the process to the thread that started it, so this thread lives as long as the process.
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the process, unless that was done before; return at once."""
        if self._thread.ident is None and not self._stopping.is_set():
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
                self._ended(code)
                return
            wait = FIRST_WAIT if monotonic() - began > SETTLED else wait
            log.warning("The worker ended with code %s. It is started again in %g s.", code, wait)
            self._stopping.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _run_once(self) -> int:
        """Run the process until it ends or `stop` is called; return its exit code."""
        # In a process group of its own: Ctrl-C reaches only the app, which then ends the process.
        output = None if self._read is None else subprocess.PIPE
        with subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            process_group=0,
            env=self._environment,
            encoding="utf-8",
            errors="replace",
        ) as process:
            reader = threading.Thread(target=self._read_lines, args=(process.stdout,), daemon=True)
            reader.start()
            while process.poll() is None:
                if self._stopping.wait(0.1):
                    self._end(process)
            reader.join()
            return process.returncode

    def _read_lines(self, lines: Iterable[str] | None) -> None:
        """Hand on each line of the process until it writes no more."""
        if self._read is not None:
            for line in lines or ():
                self._read(line)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
