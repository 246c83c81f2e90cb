"""Writer of docs/performance.md from the results that are kept, each with the docstring of its script.

A test writes the page again and compares. Knows results as JSON; measures nothing.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
TITLES = {
    "demo_view": "The demo model's up view",
    "demo_pair": "The whole demo pair",
    "large_model": "The shape of Llama 3.1 8B",
    "growth": "How time grows",
    "clamp": "Clamping",
    "effect": "Measuring effects",
    "latency": "Waiting for an answer",
}
OPENING = """# Performance

Made by `python -m benchmarks.report` of what `python -m benchmarks.run --keep` measured; `make bench` and
`make bench-full` run the same. Ratios are taken within one run, so that a busy machine disturbs both sides alike.
No GPU was at hand: nothing is said of one.
"""


def page(results: Path = HERE / "results") -> str:
    """Write the whole page."""
    parts = [OPENING]
    for name, title in TITLES.items():
        file = results / f"{name}.json"
        if file.exists():
            parts.append(f"## {title}\n{_about(name)}\n\n{_table(json.loads(file.read_text()))}")
    return "\n".join(parts) if len(parts) > 1 else f"{OPENING}\nNothing is measured yet.\n"


def _about(name: str) -> str:
    """Read the docstring of a script."""
    return str(ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())))


def _table(result: Mapping[str, Any]) -> str:
    targets = result.get("targets", {})
    figures = result.get("figures", {key: value for key, value in result.items() if key not in ("full", "machine")})
    rows = [f"| {name} | {value} | {targets.get(name, '')} |" for name, value in _flat(figures)]
    machine = ", ".join(f"{name} {value}" for name, value in result.get("machine", {}).items())
    lines = ["| measured | value | target |", "| --- | --- | --- |", *rows]
    return "\n".join(lines) + (f"\n\nMachine: {machine}.\n" if machine else "\n")


def _flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}, ")
        else:
            yield before + str(name), value


if __name__ == "__main__":
    PAGE.write_text(page())
