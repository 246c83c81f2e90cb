"""Runs a command and writes what it took, as JSON: seconds, and the most memory it held at a time.

A program of its own and a small one: Linux counts what the parent held when it forked as the child's. Imports nothing
large for that reason.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TypedDict


class Taken(TypedDict):
    """Of one run of a command."""

    seconds: float
    peak: int  # bytes resident
    output: str


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> Taken:
    """Run a command in its own small launcher, and say what it took.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    with tempfile.NamedTemporaryFile() as file:
        launcher = [sys.executable, __file__, file.name, *command]
        subprocess.run(launcher, check=True, env=os.environ | (environment or {}))
        taken: Taken = json.loads(Path(file.name).read_text())
    return taken


def main() -> None:
    """The launcher: first argument the file to write to, the rest the command."""
    result, *command = sys.argv[1:]
    began = perf_counter()
    with tempfile.TemporaryFile() as output:
        redirect = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1)]
        process = os.posix_spawnp(command[0], command, os.environ, file_actions=redirect)
        _, status, usage = os.wait4(process, 0)
        output.seek(0)
        text = output.read().decode()
    taken = Taken(seconds=perf_counter() - began, peak=usage.ru_maxrss * 1024, output=text)
    Path(result).write_text(json.dumps(taken))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
