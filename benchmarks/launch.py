"""Launcher that runs a command and writes what it took, as JSON: seconds, and the most memory it held at a time.

A program of its own and a small one: Linux counts the memory of the parent at the fork as the child's. For that
reason it imports nothing large.
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


class CommandRun(TypedDict):
    """What one run of a command took and printed."""

    seconds: float
    peak: int  # bytes resident
    output: str


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> CommandRun:
    """Run a command in its own small launcher; return what the run took.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    with tempfile.NamedTemporaryFile() as file:
        launcher = [sys.executable, __file__, file.name, *command]
        subprocess.run(launcher, check=True, env=os.environ | (environment or {}))
        command_run: CommandRun = json.loads(Path(file.name).read_text())
    return command_run


def main() -> None:
    """Run the command in the arguments after the first; write what it took to the file named by the first."""
    result, *command = sys.argv[1:]
    began = perf_counter()
    with tempfile.TemporaryFile() as output:
        redirect = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1)]
        process = os.posix_spawnp(command[0], command, os.environ, file_actions=redirect)
        _, status, usage = os.wait4(process, 0)
        output.seek(0)
        text = output.read().decode()
    command_run = CommandRun(seconds=perf_counter() - began, peak=usage.ru_maxrss * 1024, output=text)
    Path(result).write_text(json.dumps(command_run))
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
