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
from benchmarks.timing import describe_machine, time_seconds
from neuronym.contract import View
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.sources import DEMO

PRODUCTS = 6  # two models of three views
ROUNDS = 6  # layers whose product is timed, before and after
TARGETS = {"beyond six bare products, seconds": "at most 25", "peak memory, GB": "at most 1"}


def time_products(rows: Tensor, weight: Tensor) -> list[float]:
    """Time a layer's bare product a few times, in seconds, after one product to warm up."""
    scores = torch.empty(len(rows), len(weight))
    return [time_seconds(lambda: torch.mm(rows, weight.T, out=scores)) for _ in range(ROUNDS + 1)][1:]


def measure() -> dict[str, object]:
    """Time the command, and bare products before and after it."""
    checkpoint = open_checkpoint(DEMO)
    weight, rows = checkpoint.head(), checkpoint.rows(View.up, 0)
    times = time_products(rows, weight)
    with tempfile.TemporaryDirectory() as data:
        command = [sys.executable, "-m", "worker.cli", "map", "demo", "--data", data, "--json"]
        command_run = run(command)
    times += time_products(rows, weight)
    bare = PRODUCTS * checkpoint.layers * median(times)
    progress = [json.loads(line) for line in command_run["output"].splitlines()]
    models = {line["model"]: line["seconds"] for line in progress if "model" in line}
    return {
        "whole, seconds": round(command_run["seconds"], 1),
        "six bare products, seconds": round(bare, 1),
        "beyond six bare products, seconds": round(command_run["seconds"] - bare, 1),
        **{f"mapping {name}, seconds": round(spent, 1) for name, spent in models.items()},
        "all else (start, pair, file), seconds": round(command_run["seconds"] - sum(models.values()), 1),
        "peak memory, GB": round(command_run["peak"] / 1e9, 2),
    }


if __name__ == "__main__":
    about = describe_machine()
    print(json.dumps({"machine": about, "targets": TARGETS, "figures": measure()}))
