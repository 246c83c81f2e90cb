"""Reports of how far a run is, to a person at a terminal, to a log, or to a program that reads lines."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NoReturn

from tqdm import tqdm

from neuronym.contract import MappingLine
from worker.mapping.mapping import Progress

BUILDING = "Building the label file."


@dataclass(frozen=True)
class MeasuringProgress(Progress):
    """How far a measurement of a model is; `kind` is what is measured."""

    kind: str


ReportProgress = Callable[[Progress], None]
TellLine = Callable[[str], None]
TellProgram = Callable[[MappingLine], None]


def reporter(as_json: bool) -> ReportProgress:
    """A function that reports as JSON lines on standard output, or as a bar or lines on standard error."""
    if as_json:
        return lambda progress: print(json.dumps(asdict(progress)), flush=True)  # noqa: T201
    return _Bar() if sys.stderr.isatty() else _Lines()


def teller(as_json: bool) -> TellLine:
    """A function that prints sentences between layers on standard error, and nothing where reports are JSON lines."""
    return (lambda _: None) if as_json else _print_line


def announcer(as_json: bool) -> TellProgram:
    """A function that tells a program what happens besides progress, as JSON lines on standard output; else nothing."""
    return (lambda line: print(line.model_dump_json(), flush=True)) if as_json else lambda _: None  # noqa: T201


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


class _Lines:
    """One line a layer, with the time left from the second on: the first may report layers that were done earlier."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], Progress] = {}

    def __call__(self, progress: Progress) -> None:
        kind = progress.kind if isinstance(progress, MeasuringProgress) else ""
        first = self._first.setdefault((_title(progress), kind), progress)
        parts = [
            f"{_title(progress)}: layer {progress.layers_done} of {progress.layers} "
            + (f"measured ({kind})" if kind else "mapped"),
            f"{progress.neurons_done:,} neurons",
            _duration(progress.seconds),
        ]
        done_since = progress.layers_done - first.layers_done
        layers_left = progress.layers - progress.layers_done
        if done_since and layers_left:
            seconds = (progress.seconds - first.seconds) / done_since * layers_left
            parts.append(f"about {_duration(max(1.0, seconds), exact=False)} left")
        _print_line(", ".join(parts))


def _title(progress: Progress) -> str:
    """The model, with the views where not all of them are at work."""
    return f"{progress.model} ({', '.join(progress.views)})" if progress.views else progress.model


def _duration(seconds: float, exact: bool = True) -> str:
    """A duration in seconds, minutes or hours; one that is not exact has no tenths."""
    if seconds < 120:
        return f"{seconds:.1f} s" if exact else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class _Bar:
    """One bar a model, counted in neurons, with rate and time left."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm[NoReturn]] = {}

    def __call__(self, progress: Progress) -> None:
        name = f"{progress.model} {progress.kind}" if isinstance(progress, MeasuringProgress) else _title(progress)
        bar = self._bars.get(name)
        if bar is None:
            total = progress.neurons_done // progress.layers_done * progress.layers
            done = progress.neurons_done  # not part of the rate: an earlier run's, or a warm-up
            bar = tqdm(
                total=total, initial=done, desc=name, unit=" neurons", unit_scale=True, file=sys.stderr, disable=False
            )
            self._bars[name] = bar
        bar.update(progress.neurons_done - bar.n)
        if progress.layers_done == progress.layers:
            bar.close()
