"""Runs the benchmarks one after the other and keeps what each printed, as JSON in benchmarks/results.

`--full` takes more layers and turns, and adds what is too slow for every day. Knows the scripts by name only.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
QUICK = ("demo_view", "demo_pair", "large_model", "clamp", "effect", "latency")
SLOW = ("growth",)
TAKES_FULL = ("demo_view", "large_model")  # the others measure the same in either case
LESS = {"clamp": ["--rounds", "2", "--tokens", "24"], "effect": ["--neurons", "40", "--rounds", "1"]}


def measured(name: str, full: bool) -> dict[str, object]:
    """What a script printed.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    less = [] if full else LESS.get(name, [])
    options = ["--full"] if full and name in TAKES_FULL else less
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    found: dict[str, object] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def main() -> None:
    """Run, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="more layers and turns, and the slow ones too")
    parser.add_argument("--only", choices=[*QUICK, *SLOW], help="only this one")
    parser.add_argument("--keep", action="store_true", help="write the results that docs/performance.md is made of")
    asked = parser.parse_args()
    names = (asked.only,) if asked.only else QUICK + (SLOW if asked.full else ())
    for name in names:
        text = json.dumps({"full": asked.full} | measured(name, asked.full), indent=2)
        print(f"{name}: {text}", flush=True)
        if asked.keep:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
