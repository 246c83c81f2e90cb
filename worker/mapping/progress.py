"""How far a mapping is, for a person at a terminal or a program that reads lines. Quiet when nobody watches."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NoReturn

from tqdm import tqdm

from worker.mapping.mapping import Progress


@dataclass(frozen=True)
class Measuring(Progress):
    """One layer measured, or the whole."""

    kind: str


Report = Callable[[Progress], None]


def reporter(as_json: bool) -> Report:
    """JSON lines on standard output, a bar on a terminal, or nothing."""
    if as_json:
        return lambda progress: print(json.dumps(asdict(progress)), flush=True)  # noqa: T201
    return _Bar() if sys.stderr.isatty() else lambda _: None


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
