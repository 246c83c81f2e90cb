"""How time grows with neurons, width and vocabulary: at twice and four times a size, against the time at the base."""

import json
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.shapes import make_vectors
from benchmarks.timing import describe_machine, median_ratio, time_turns
from neuronym.contract import Lens
from worker.lens.decoder import Decoder
from worker.lens.exact import Head

BASE = {"neurons": 1024, "width": 512, "vocabulary": 32_768}
TOP, ROUNDS = 20, 7


def prepare_decoding(neurons: int, width: int, vocabulary: int) -> Callable[[], object]:
    """Prepare to decode a layer of these sizes, cosine lens, top 20."""
    head = Head(make_vectors(vocabulary, width, seed=1), torch.arange(vocabulary))
    rows = make_vectors(neurons, width, seed=2)
    decoder = Decoder(head, "auto", rows[:64], [Lens.cosine])
    return partial(decoder.decode, rows, TOP, 0)


def measure() -> dict[str, object]:
    """Measure the time at each size as a multiple of the time at the base."""
    figures: dict[str, object] = {"base": ", ".join(f"{size:,} {name}" for name, size in BASE.items())}
    for name in BASE:
        contenders = {str(times): prepare_decoding(**(BASE | {name: BASE[name] * times})) for times in (1, 2, 4)}
        times = time_turns([contenders] * (ROUNDS + 1))
        for factor in ("2", "4"):
            figures[f"{factor} times the {name}"] = median_ratio(times, factor, "1")
    return figures


if __name__ == "__main__":
    about = describe_machine()
    print(json.dumps({"machine": about, "targets": {}, "figures": measure()}))
