"""The whole demo pair: two models, three views, both lenses, all statistics, the file built and published.

That is `neuronym-worker map demo` as a user runs it, from its start to its end, beside six bare fp32 products of a
whole model's rows (two models, three views). The product is timed before and after.
"""

import json
import sys
import tempfile
from statistics import median

import torch
from torch import Tensor

from benchmarks.launch import run
from benchmarks.timing import machine, seconds
from neuronym.contract import View
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.sources import DEMO

PRODUCTS = 6  # two models of three views
ROUNDS = 6  # layers whose product is timed, before and after
TARGETS = {"beyond six bare products, seconds": "at most 25", "peak memory, GB": "at most 1"}


def products(rows: Tensor, weight: Tensor) -> list[float]:
    """Seconds of a layer's bare product, a few times, after one to warm up."""
    scores = torch.empty(len(rows), len(weight))
    return [seconds(lambda: torch.mm(rows, weight.T, out=scores)) for _ in range(ROUNDS + 1)][1:]


def measure() -> dict[str, object]:
    """The command between products."""
    checkpoint = open_checkpoint(DEMO)
    weight, rows = checkpoint.head(), checkpoint.rows(View.up, 0)
    times = products(rows, weight)
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "worker.cli", "map", "demo", "--data", data, "--json"]
        taken = run(command)
    times += products(rows, weight)
    bare = PRODUCTS * checkpoint.layers * median(times)
    progress = [json.loads(line) for line in taken["output"].splitlines()]
    models = {line["model"]: line["seconds"] for line in progress if "model" in line}
    return {
        "whole, seconds": round(taken["seconds"], 1),
        "six bare products, seconds": round(bare, 1),
        "beyond six bare products, seconds": round(taken["seconds"] - bare, 1),
        **{f"mapping {name}, seconds": round(spent, 1) for name, spent in models.items()},
        "all else (start, pair, file), seconds": round(taken["seconds"] - sum(models.values()), 1),
        "peak memory, GB": round(taken["peak"] / 1e9, 2),
    }


if __name__ == "__main__":
    about = machine()
    print(json.dumps({"machine": about, "targets": TARGETS, "figures": measure()}))
