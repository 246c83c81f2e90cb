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
from benchmarks.shapes import LLAMA_8B, make_vectors
from benchmarks.synthetic import write_checkpoint
from benchmarks.timing import describe_machine, median_ratio, median_seconds, time_turns
from neuronym.contract import Lens
from worker.lens.decoder import Decoder
from worker.lens.exact import Head

TOP, MAPPED = 20, 2
LAYERS, NEURONS, WIDTH, VOCAB = LLAMA_8B.layers, LLAMA_8B.neurons, LLAMA_8B.width, LLAMA_8B.vocab
ROWS = 1024  # a turn
QUICK, FULL = 2, 9  # turns
LEAST = ("--lenses", "cosine", "--bottom-k", "1")  # what the targets are for
TARGETS = {
    "ours / bare product": "at most 0.4",
    "up view of 32 layers, minutes, extrapolated": "at most 15",
    "peak memory, GB": "at most 4",
}


def measure_rows(rounds: int) -> dict[str, object]:
    """Time some rows in turn with their bare product."""
    head = Head(make_vectors(VOCAB, WIDTH, seed=1), torch.arange(VOCAB))
    vectors_decoded = make_vectors(ROWS * (rounds + 1), WIDTH, seed=2)
    decoder = Decoder(head, "auto", vectors_decoded[:256], [Lens.cosine])
    head.prepare([Lens.cosine])
    scores = torch.empty(ROWS, VOCAB)
    times = time_turns(
        {
            "ours": partial(decoder.decode, part, TOP, 0),
            "bare": lambda part=part: torch.mm(part, head.weight.T, out=scores),  # type: ignore[misc]
        }
        for part in vectors_decoded.view(-1, ROWS, WIDTH)
    )
    everything = NEURONS * LAYERS / ROWS / 60
    return {
        "rows": f"{ROWS} x {WIDTH} by {VOCAB}, {rounds} turns",
        "precision": decoder.precision,
        "ours / bare product": median_ratio(times, "ours", "bare"),
        "decoding the up view of 32 layers, minutes, extrapolated": round(
            everything * median_seconds(times, "ours"), 1
        ),
        "bare product of 32 layers, minutes, extrapolated": round(everything * median_seconds(times, "bare"), 1),
    }


def measure_layers(options: Sequence[str]) -> dict[str, object]:
    """Map two layers by the command; the second layer's time is that of a layer, the rest is spent once a model."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, data = write_checkpoint(Path(temporary, "model"), MAPPED), Path(temporary, "data")
        command = ["map", str(folder), "--views", "up", "--data", str(data), "--json", *options]
        command_run = run([sys.executable, "-m", "worker.cli", *command])
    times = [json.loads(line)["seconds"] for line in command_run["output"].splitlines() if "layers_done" in line]
    a_layer = times[1] - times[0]
    once = command_run["seconds"] - MAPPED * a_layer
    return {
        "a layer, seconds": round(a_layer, 1),
        "start, head and file, seconds": round(once, 1),
        "up view of 32 layers, minutes, extrapolated": round((once + LAYERS * a_layer) / 60, 1),
        "peak memory, GB": round(command_run["peak"] / 1e9, 2),
    }


def measure(full: bool) -> dict[str, object]:
    """Measure rows in a process of their own, to leave the memory free for the command, which runs only in full."""
    command = [sys.executable, "-m", "benchmarks.large_model", "--rows", *(["--full"] if full else [])]
    figures: dict[str, object] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    if not full:
        return figures
    everything = {f"both lenses, both ends: {name}": value for name, value in measure_layers(()).items()}
    return figures | measure_layers(LEAST) | everything


def main() -> None:
    """Print all figures, or only those of the rows."""
    full = "--full" in sys.argv
    if "--rows" in sys.argv:
        print(json.dumps(measure_rows(FULL if full else QUICK)))
        return
    about = describe_machine()
    print(json.dumps({"machine": about, "targets": TARGETS, "figures": measure(full)}))


if __name__ == "__main__":
    main()
