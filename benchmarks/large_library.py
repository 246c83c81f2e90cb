"""A library of the size of Llama 3.1 8B, base and instruct, from random labels: what building and adding cost.

Labels are drawn (`benchmarks.drawn_labels`), and then loaded by the very code that publishes a mapped model. A small
pair is then added to it, and to an empty library. `--keep FOLDER` leaves the large one there, for
`benchmarks.load --data FOLDER`; `benchmarks.large_load` does both.
"""

import argparse
import json
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from benchmarks.drawn_labels import BOTTOM, LABELS, TOP, Shape, write_shards
from benchmarks.timing import describe_machine
from neuronym.contract import Lens, View
from neuronym.settings import Settings
from worker.labelfile.label_file import now
from worker.labelfile.model_file import ModelContents
from worker.labelfile.pair_file import PairContents
from worker.labelfile.rows import shard_rows
from worker.library.publish import NewFiles
from worker.library.removal import remove

LAYERS, NEURONS, WIDTH, VOCAB = 32, 14_336, 4096, 128_256  # of Llama 3.1 8B
SMALL = (2, 1024, 20_000)  # layers, neurons and vocabulary of a pair that is added
TURNS = 5  # of adding it
TOKENIZER = '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"<unk>": 0}, "unk_token": "<unk>"}}'


def model_contents(folder: Path, name: str, shape: Shape) -> ModelContents:
    """What a model's file is made of."""
    layers, neurons, vocab = shape.layers, shape.neurons, shape.vocab
    settings = {"views": [*View], "lenses": [*Lens], "top_k": TOP, "bottom_k": BOTTOM, "gain": "none"}
    thresholds = [
        {"view": view, "lens": lens, "layer": layer, "weak_above": 5.5, "strong_above": 7.0, "labels": neurons,
         "strong": neurons // 10, "weak": neurons // 5, "noise": neurons // 2, "false_strong": 1.0, "false_share": 0.2}
        for view, lens in LABELS for layer in range(layers)
    ]  # fmt: skip
    views = [{**row, "layer": None} for row in thresholds if row["layer"] == 0]
    kept = ("view", "lens", "labels", "strong", "weak", "noise", "false_strong", "false_share")
    control = {
        "kind": "control",
        "settings": json.dumps({"rule": "drawn", "controls": 199, "rates": {"weak": 0.05, "strong": 0.02}}),
        "result": json.dumps({"views": [{key: row[key] for key in kept} for row in views], "layers": thresholds}),
        "measured_at": now(),
        "seconds": 0.0,
    }
    model = {
        "name": name, "source": f"drawn/{name}", "source_hash": name, "architecture": "llama", "layers": layers,
        "neurons": neurons, "width": WIDTH, "vocab": vocab, "gated": True, "tied": False, "chat": False,
        "tokenizer": "0" * 16, "dtype": "bf16", "device": "none", "versions": json.dumps({"neuronym": "0"}),
        "settings": json.dumps(settings), "mapped_at": now(), "mapped_in": "drawn", "seconds": 0.0,
    }  # fmt: skip
    rows = {table: shard_rows(sorted((folder / name).glob(f"{table}-*"))) for table in ("token", "label")}
    return ModelContents(model, {"hash": "0" * 16, "vocab": vocab, "json": TOKENIZER}, {"control": control}, rows)


@contextmanager
def timed(figures: dict[str, float], name: str) -> Iterator[None]:
    """Add the seconds and the CPU seconds of the block to `figures`."""
    began, cpu = perf_counter(), process_time()
    yield
    figures |= {f"{name}, seconds": perf_counter() - began, f"{name}, CPU seconds": process_time() - cpu}


def build(data: Path, shape: Shape) -> dict[str, float]:
    """Draw and publish the two models and their pair; return what each step took."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=data) as shards:
        folder = Path(shards)
        with timed(figures, "drawing"):
            write_shards(folder, shape)
        with timed(figures, "building"):
            publish_drawn(data, folder, shape)
    return figures


def publish_drawn(data: Path, folder: Path, shape: Shape) -> None:
    """Build the files of a drawn pair and make them current."""
    files = NewFiles(Settings(data=data))
    for name in shape.models:
        files.build_model(name, model_contents(folder, name, shape))
    instruct, base = shape.models
    moved = shard_rows(sorted((folder / shape.pair).glob("drift-*")))
    files.build_pair(
        PairContents(shape.pair, base, instruct, None, moved, (files.file_of(base), files.file_of(instruct)))
    )
    files.make_current()


def compare_adding(large: Path) -> float:
    """How long adding a small pair takes to the library in `large`, over how long to an empty one: the median turn."""
    ratios = []
    with tempfile.TemporaryDirectory() as shards, tempfile.TemporaryDirectory() as empty:
        shape = Shape("added", *SMALL)
        write_shards(Path(shards), shape)
        for _ in range(TURNS):
            seconds = []
            for data in (large, Path(empty)):
                began = perf_counter()
                publish_drawn(data, Path(shards), shape)
                seconds.append(perf_counter() - began)
                remove(data, [*shape.models], with_pairs=True)
            ratios.append(seconds[0] / seconds[1])
    return round(median(ratios), 3)


def make_library(data: Path, shape: Shape) -> dict[str, object]:
    """Make the library in a data folder, and return what it took."""
    data.mkdir(parents=True, exist_ok=True)
    figures: dict[str, float] = build(data, shape)
    figures["on disk, GB"] = sum(file.stat().st_size for file in (data / "library").rglob("*.*")) / 1e9
    figures["peak memory, GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    figures["adding a small pair, beside the large one / alone"] = compare_adding(data)
    rounded = {name: round(value, 3) for name, value in figures.items()}
    return {"machine": describe_machine(), "targets": TARGETS, "figures": {"search rows": shape.search_rows} | rounded}


TARGETS = {
    "drawing, seconds": "with building at most 300",
    "peak memory, GB": "at most 3",
    "adding a small pair, beside the large one / alone": "at most 1.2",
}


def main() -> None:
    """Make the library and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--neurons", type=int, default=NEURONS)
    parser.add_argument("--vocab", type=int, default=VOCAB)
    parser.add_argument("--keep", type=Path, help="data folder to make it in, and leave")
    arguments = parser.parse_args()
    shape = Shape("large", arguments.layers, arguments.neurons, arguments.vocab)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(make_library(arguments.keep or Path(folder), shape)))


if __name__ == "__main__":
    main()
