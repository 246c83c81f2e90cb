"""The shape of Llama 3.1 8B on synthetic weights with outliers: a few rows against the bare product, two layers whole.

Rows are decoded under the cosine lens, top 20 only, in turn with the bare fp32 product. In full, two layers' up view is
then mapped by the command as a user runs it, from files in bf16 to a published label file, in a process of its own
whose peak memory is told: once under the cosine lens with the highest tokens alone, once with everything. What all 32
layers would take is an extrapolation.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.launch import run
from benchmarks.synthetic import LAYERS, NEURONS, VOCAB, WIDTH, checkpoint, vectors
from benchmarks.timing import machine, ratio, turns, typical
from neuronym.contract import Lens
from worker.lens.decoder import Decoder
from worker.lens.exact import Head

TOP, MAPPED = 20, 2
ROWS = 1024  # a turn
QUICK, FULL = 2, 9  # turns
LEAST = ("--lenses", "cosine", "--bottom-k", "1")  # what the targets are for
TARGETS = {
    "ours / bare product": "at most 0.4",
    "up view of 32 layers, minutes, extrapolated": "at most 15",
    "peak memory, GB": "at most 4",
}


def rows(rounds: int) -> dict[str, object]:
    """Some rows in turn with their bare product."""
    head = Head(vectors(VOCAB, WIDTH, seed=1), torch.arange(VOCAB))
    some = vectors(ROWS * (rounds + 1), WIDTH, seed=2)
    decoder = Decoder(head, "auto", some[:256], [Lens.cosine])
    head.prepare([Lens.cosine])
    scores = torch.empty(ROWS, VOCAB)
    times = turns(
        {
            "ours": partial(decoder.decode, part, TOP, 0),
            "bare": lambda part=part: torch.mm(part, head.weight.T, out=scores),  # type: ignore[misc]
        }
        for part in some.view(-1, ROWS, WIDTH)
    )
    everything = NEURONS * LAYERS / ROWS / 60
    return {
        "rows": f"{ROWS} x {WIDTH} by {VOCAB}, {rounds} turns",
        "precision": decoder.precision,
        "ours / bare product": ratio(times, "ours", "bare"),
        "decoding the up view of 32 layers, minutes, extrapolated": round(everything * typical(times, "ours"), 1),
        "bare product of 32 layers, minutes, extrapolated": round(everything * typical(times, "bare"), 1),
    }


def layers(options: Sequence[str]) -> dict[str, object]:
    """Two layers by the command; the second one's time is a layer's, what is left is had once a model."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, data = checkpoint(Path(temporary, "model"), MAPPED), Path(temporary, "data")
        command = ["map", str(folder), "--views", "up", "--data", str(data), "--json", *options]
        taken = run([sys.executable, "-m", "worker.cli", *command])
    times = [json.loads(line)["seconds"] for line in taken["output"].splitlines() if "layers_done" in line]
    a_layer = times[1] - times[0]
    once = taken["seconds"] - MAPPED * a_layer
    return {
        "a layer, seconds": round(a_layer, 1),
        "start, head and file, seconds": round(once, 1),
        "up view of 32 layers, minutes, extrapolated": round((once + LAYERS * a_layer) / 60, 1),
        "peak memory, GB": round(taken["peak"] / 1e9, 2),
    }


def measure(full: bool) -> dict[str, object]:
    """Rows in a process of their own, so that the command finds the memory free; the command only in full."""
    apart = [sys.executable, "-m", "benchmarks.large_model", "--rows", *(["--full"] if full else [])]
    found: dict[str, object] = json.loads(subprocess.run(apart, check=True, stdout=subprocess.PIPE).stdout)
    if not full:
        return found
    everything = {f"both lenses, both ends: {name}": value for name, value in layers(()).items()}
    return found | layers(LEAST) | everything


def main() -> None:
    """Print the figures, or those of the rows alone."""
    full = "--full" in sys.argv
    if "--rows" in sys.argv:
        print(json.dumps(rows(FULL if full else QUICK)))
        return
    about = machine()
    print(json.dumps({"machine": about, "targets": TARGETS, "figures": measure(full)}))


if __name__ == "__main__":
    main()
