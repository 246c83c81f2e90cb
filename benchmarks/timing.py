"""Taking turns: contenders run one after the other, again and again, and each turn's ratio is what is told.

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


def seconds(contender: Callable[[], object]) -> float:
    """Of one run."""
    began = perf_counter()
    contender()
    return perf_counter() - began


def turns(contenders: Iterable[Mapping[str, Callable[[], object]]]) -> Sequence[Turn]:
    """Seconds of each contender at each turn; the first turn is to warm up, and is left out."""
    return [{name: seconds(run) for name, run in turn.items()} for turn in contenders][1:]


def ratio(times: Sequence[Turn], one: str, other: str) -> float:
    """Median over the turns."""
    return round(median(time[one] / time[other] for time in times), 3)


def typical(times: Sequence[Turn], name: str) -> float:
    """Median seconds of a contender."""
    return median(time[name] for time in times)


def machine() -> dict[str, str | int | float]:
    """What it was measured on."""
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
