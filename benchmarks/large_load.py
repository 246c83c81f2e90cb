"""The app under load on a library of the size of Llama 3.1 8B, base and instruct, which it makes first.

Joins `benchmarks.large_library` and `benchmarks.load`; it takes about seven minutes and seven gigabytes of disk.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.drawn_labels import Shape
from benchmarks.large_library import LAYERS, NEURONS, VOCAB, make_library


def main() -> None:
    """Make the library, ask it, and print both results as one."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_library(Path(folder), Shape("large", LAYERS, NEURONS, VOCAB))
        command = [sys.executable, "-m", "benchmarks.load", "--data", folder]
        asked: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(json.dumps(merge(made, asked)))


def merge(made: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """One result of both: the rows of `asked`, with targets and figures of either."""
    both = {name: made[name] | asked[name] for name in ("targets", "figures")}
    return asked | both


if __name__ == "__main__":
    main()
