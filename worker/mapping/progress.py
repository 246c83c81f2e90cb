"""How far a run is, for a person at a terminal, for a log, or for a program that reads lines."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NoReturn

from tqdm import tqdm

from worker.mapping.mapping import Progress

BUILDING = "Building the label file."


@dataclass(frozen=True)
class Measuring(Progress):
    """One layer measured, or the whole."""

    kind: str


Report = Callable[[Progress], None]
Tell = Callable[[str], None]


def reporter(as_json: bool) -> Report:
    """JSON lines on standard output; else, on standard error, a bar on a terminal or a plain line a layer."""
    if as_json:
        return lambda progress: print(json.dumps(asdict(progress)), flush=True)  # noqa: T201
    return _Bar() if sys.stderr.isatty() else _Lines()


def teller(as_json: bool) -> Tell:
    """What a run says between layers: sentences on standard error, nothing beside JSON lines."""
    return (lambda _: None) if as_json else _say


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


class _Lines:
    """A line a layer. Time left is told from the second report on: the first one may be of layers done earlier."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Progress] = {}

    def __call__(self, progress: Progress) -> None:
        kind = progress.kind if isinstance(progress, Measuring) else ""
        first = self._first.setdefault((progress.model, kind), progress)
        parts = [
            f"{progress.model}: layer {progress.layers_done} of {progress.layers} "
            + (f"measured ({kind})" if kind else "mapped"),
            f"{progress.neurons_done:,} neurons",
            _duration(progress.seconds),
        ]
        since = progress.layers_done - first.layers_done
        left = progress.layers - progress.layers_done
        if since and left:
            seconds = (progress.seconds - first.seconds) / since * left
            parts.append(f"about {_duration(max(1.0, seconds), exact=False)} left")
        _say(", ".join(parts))


def _duration(seconds: float, exact: bool = True) -> str:
    """In the unit that suits it; an estimate has no tenths of a second."""
    if seconds < 120:
        return f"{seconds:.1f} s" if exact else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class _Bar:
    """One bar a model, counted in neurons, with rate and time left."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[NoReturn]] = {}

    def __call__(self, progress: Progress) -> None:
        name = f"{progress.model} {progress.kind}" if isinstance(progress, Measuring) else progress.model
        bar = self._bars.get(name)
        if bar is None:
            total = progress.neurons_done // progress.layers_done * progress.layers
            done = progress.neurons_done  # by an earlier run, or to warm up: the rate is that of what follows
            bar = tqdm(
                total=total, initial=done, desc=name, unit=" neurons", unit_scale=True, file=sys.stderr, disable=False
            )
            self._bars[name] = bar
        bar.update(progress.neurons_done - bar.n)
        if progress.layers_done == progress.layers:
            bar.close()
