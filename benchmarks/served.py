"""A running `neuronym serve` without a worker, and what its processes take: processor time and memory, as Linux tells.

The worker is left out because it only runs clamps; one that idles beside the app would disturb it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.cli.supervisor import free_port

COMMAND = [sys.executable, "-m", "app.cli", "serve", "--host", "127.0.0.1", "--port", "0"]
TICKS = os.sysconf("SC_CLK_TCK")  # a second


class Served:
    """The app as one serves it: its port, and what the process and those it started have taken."""

    def __init__(self, process: int, port: int) -> None:
        self.process, self.port = process, port

    def processor_seconds(self) -> float:
        """Seconds of processor time so far, ended children included."""
        return sum(sum(map(int, _stat(process)[11:15])) for process in self.processes()) / TICKS

    def resident(self) -> int:
        """Bytes in memory now; what processes share is counted once for each."""
        return sum(_resident(process) for process in self.processes())

    def processes(self) -> Iterator[int]:
        """The process and its descendants."""
        children: dict[int, list[int]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                children.setdefault(int(_stat(int(folder.name))[1]), []).append(int(folder.name))
            except OSError:
                continue  # it has ended
        waiting = [self.process]
        while waiting:
            process = waiting.pop()
            yield process
            waiting += children.get(process, [])


def _stat(process: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold anything; the first is the state."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _resident(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


@contextmanager
def serving(data: Path) -> Iterator[Served]:
    """Run `neuronym serve` on a data folder inside the block, on a free port."""
    environment = os.environ | {"NEURONYM_DATA": str(data), "NEURONYM_WORKER_URL": f"http://127.0.0.1:{free_port()}"}
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2])
            yield Served(process.pid, port)
        finally:
            process.terminate()
