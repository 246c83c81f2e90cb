"""Writer of docs/performance.md from the results that are kept, each with the docstring of its script.

A test writes the page again and compares. Knows results as JSON; measures nothing.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
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
    "load": "The app under load",
    "large_load": "The app at the size of Llama 3.1 8B",
    "many_models": "Ten models in the library",
    "gpu": "On a GPU",
}
OPENING = """# Performance

Made by `python -m benchmarks.report` of what `python -m benchmarks.run --keep` measured; `make bench` and
`make bench-full` run the same. Ratios are taken within one run, so that a busy machine disturbs both sides alike.
"""
MISSING = "Not measured yet."


def page(results: Path = HERE / "results") -> str:
    """Write the whole page."""
    return "\n".join([OPENING, *(_section(name, title, results / f"{name}.json") for name, title in TITLES.items())])


def _section(name: str, title: str, result: Path) -> str:
    """Write what a script measures, and what it measured if that is kept."""
    measured = _table(json.loads(result.read_text())) if result.exists() else f"{MISSING}\n"
    return f"## {title}\n{_about(name)}\n\n{measured}"


def _about(name: str) -> str:
    """Read the docstring of a script."""
    return str(ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())))


def _table(result: Mapping[str, Any]) -> str:
    targets = result.get("targets", {})
    wide = _wide(result["rows"], targets) if "rows" in result else []
    besides = ("full", "machine", "former")
    figures = result.get("figures", {key: value for key, value in result.items() if key not in besides})
    ranges = _ranges([figures, *(former["figures"] for former in result.get("former", []))])
    rows = [
        f"| {name} | {value} | {ranges.get(name, '')} | {_beside(value, targets.get(name, ''))} |"
        for name, value in _flat(figures)
    ]
    machine = ", ".join(f"{name} {value}" for name, value in result.get("machine", {}).items())
    lines = [*wide, "| measured | value | in all kept runs | target |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(lines) + (f"\n\nMachine: {machine}.\n" if machine else "\n")


def _ranges(runs: Sequence[Mapping[str, Any] | None]) -> dict[str, str]:
    """From the lowest to the highest value of each figure that several runs have, on whatever machines they were."""
    values: dict[str, list[float]] = {}
    for figures in runs:
        for name, value in _flat(figures or {}):
            if isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(name, []).append(value)
    return {name: f"{min(some)} to {max(some)} ({len(some)} runs)" for name, some in values.items() if len(some) > 1}


def _wide(rows: Mapping[str, Mapping[str, Any]], targets: Mapping[str, str]) -> list[str]:
    """A table with a column for each figure of a row, its target beside it."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["|  | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        aims = {
            column: f" ({_beside(value, targets[f'{name}, {column}'])})"
            for column, value in row.items()
            if f"{name}, {column}" in targets
        }
        cells = [f"{row.get(column, '')}{aims.get(column, '')}" for column in columns]
        lines.append(" | ".join([f"| {name}", *cells]) + " |")
    return [*lines, ""]


def _beside(value: object, target: str) -> str:
    """The target of a figure, with a word where it was not reached."""
    most = re.match(r"at most ([\d.]+)$", target)
    missed = most is not None and isinstance(value, int | float) and value > float(most[1])
    return f"{target}: **not reached**" if missed else target


def _flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}, ")
        else:
            yield before + str(name), value


if __name__ == "__main__":
    PAGE.write_text(page())
