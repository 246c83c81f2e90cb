"""Timing in turns: contenders run one after the other, again and again, and the ratio within each turn is reported.

A busy machine disturbs the contenders of a turn alike; the median over the turns leaves out the worst of it.
"""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

Turn = Mapping[str, float]


def time_seconds(contender: Callable[[], object]) -> float:
    """Time one run, in seconds."""
    began = perf_counter()
    contender()
    return perf_counter() - began


def until_done(contender: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """Have a contender return only when the device has done its work: a GPU computes on after the call."""

    def run() -> None:
        contender()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def time_turns(contenders: Iterable[Mapping[str, Callable[[], object]]]) -> Sequence[Turn]:
    """Time each contender at each turn, in seconds; the first turn is a warm-up and is left out."""
    return [{name: time_seconds(run) for name, run in turn.items()} for turn in contenders][1:]


def median_ratio(times: Sequence[Turn], name: str, base: str) -> float:
    """The median over the turns of the ratio of two contenders' seconds."""
    return round(median(time[name] / time[base] for time in times), 3)


def median_seconds(times: Sequence[Turn], name: str) -> float:
    """The median over the turns of a contender's seconds."""
    return median(time[name] for time in times)


def describe_machine() -> dict[str, str | int | float]:
    """Describe the machine that the benchmark runs on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "memory, GB": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9),
        "torch": torch.__version__,
        "load before": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    """The processor's name, and whether it multiplies int8 (VNNI)."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in file.read_text().split("\n\n")[0].splitlines() if ":" in line)
    named = {name.strip(): value.strip() for name, value in facts.items()}
    name = named.get("model name", platform.machine())
    return f"{name}, {'with' if 'vnni' in named.get('flags', '') else 'without'} VNNI"
