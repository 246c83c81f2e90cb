"""Runner of the benchmarks one after the other; keeps their results as JSON in benchmarks/results, former ones inside.

`--full` takes more layers and turns, and adds what is too slow for every day. Knows the scripts by name only.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
KEPT = 8  # former results of a script, of whatever machines
QUICK = ("demo_view", "demo_pair", "large_model", "clamp", "effect", "latency", "load")
SLOW = ("growth", "large_load", "many_models")
TAKES_FULL = ("demo_view", "large_model", "load")  # the others measure the same in either case
ON_GPU = ("gpu",)  # only when asked for by name
LESS = {"clamp": ["--rounds", "2", "--tokens", "24"], "effect": ["--neurons", "40", "--rounds", "1"]}


def run_script(name: str, full: bool) -> dict[str, object]:
    """Run a script and read the JSON it printed.

    Raises:
        subprocess.CalledProcessError: the script failed.
    """
    less = [] if full else LESS.get(name, [])
    options = ["--full"] if full and name in TAKES_FULL else less
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    result: dict[str, object] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return result


def main() -> None:
    """Run the scripts, print their results, and keep them with `--keep`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="more layers and turns, and the slow ones too")
    parser.add_argument("--only", choices=[*QUICK, *SLOW, *ON_GPU], help="only this one")
    parser.add_argument("--keep", action="store_true", help="write the results that docs/performance.md is made of")
    arguments = parser.parse_args()
    names = (arguments.only,) if arguments.only else QUICK + (SLOW if arguments.full else ())
    for name in names:
        result = {"full": arguments.full} | run_script(name, arguments.full)
        print(f"{name}: {json.dumps(result, indent=2)}", flush=True)
        if arguments.keep:
            keep(result, RESULTS / f"{name}.json")


def keep(result: Mapping[str, object], path: Path) -> None:
    """Write a result, and into it the figures of those before it, each with its machine."""
    before = json.loads(path.read_text()) if path.exists() else {}
    former = [*before.get("former", []), {name: before.get(name) for name in ("machine", "figures")}] if before else []
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**result, "former": former[-KEPT:]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
