"""How time grows with neurons, width and vocabulary: at twice and four times a size, against the time at the base."""

import json
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.synthetic import vectors
from benchmarks.timing import machine, ratio, turns
from neuronym.contract import Lens
from worker.lens.decoder import Decoder
from worker.lens.exact import Head

BASE = {"neurons": 1024, "width": 512, "vocabulary": 32_768}
TOP, ROUNDS = 20, 7


def decoding(neurons: int, width: int, vocabulary: int) -> Callable[[], object]:
    """Decoding a layer of these sizes, cosine lens, top 20."""
    head = Head(vectors(vocabulary, width, seed=1), torch.arange(vocabulary))
    rows = vectors(neurons, width, seed=2)
    decoder = Decoder(head, "auto", rows[:64], [Lens.cosine])
    return partial(decoder.decode, rows, TOP, 0)


def measure() -> dict[str, object]:
    """The multiples."""
    found: dict[str, object] = {"base": ", ".join(f"{size:,} {name}" for name, size in BASE.items())}
    for name in BASE:
        contenders = {str(times): decoding(**(BASE | {name: BASE[name] * times})) for times in (1, 2, 4)}
        times = turns([contenders] * (ROUNDS + 1))
        for more in ("2", "4"):
            found[f"{more} times the {name}"] = ratio(times, more, "1")
    return found


if __name__ == "__main__":
    about = machine()
    print(json.dumps({"machine": about, "targets": {}, "figures": measure()}))
