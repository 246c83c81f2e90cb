"""The demo model's up view under the cosine lens, top 20 only, against the bare fp32 product and a plain script.

The bare product is one `torch.mm` of a layer's rows with the whole head, into memory that is there already. The plain
script is what anyone would write: unit vectors, all scores, `topk(20)`. One layer a turn. The same is then measured on
one thread, and with the instructions of processors without VNNI, on three layers each.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks.timing import describe_machine, median_ratio, median_seconds, time_seconds, time_turns
from neuronym.contract import Lens, View
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.sources import DEMO
from worker.lens.decoder import Decoder
from worker.lens.exact import Head

TOP = 20
SAMPLE = 256  # rows on which the decoder chooses its way
QUICK, FEW = (0, 4, 8, 12, 16, 20, 24, 29), (2, 14, 26)
TARGETS = {"ours / bare product": "at most 0.45", "ours / plain script": "at most 0.35"}
OTHERS = {"one thread": {"OMP_NUM_THREADS": "1"}, "without VNNI": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}


def bare_product(rows: Tensor, weight: Tensor, scores: Tensor) -> None:
    """Compute the fp32 product and nothing else."""
    torch.mm(rows, weight.T, out=scores)


def plain_script(rows: Tensor, unit: Tensor) -> Tensor:
    """Decode as a simple script would; return the tokens' ids, `(rows, 20)`."""
    return (torch.nn.functional.normalize(rows, dim=1) @ unit.T).topk(TOP).indices


def measure(layers: Sequence[int]) -> dict[str, object]:
    """Measure the ratios, and the cost of preparing the head."""
    checkpoint = open_checkpoint(DEMO)
    weight = checkpoint.head()
    views = {layer: checkpoint.rows(View.up, layer) for layer in layers}
    decoders: list[Decoder] = []

    def prepare() -> None:
        head = Head(weight, torch.arange(len(weight)))
        decoders.append(Decoder(head, "auto", views[layers[0]][:SAMPLE], [Lens.cosine]))
        head.prepare([Lens.cosine])

    prepared = time_seconds(prepare)
    decoder, unit = decoders[0], torch.nn.functional.normalize(weight, dim=1)
    scores = torch.empty(checkpoint.neurons, len(weight))
    times = time_turns(
        {
            "ours": partial(decoder.decode, views[layer], TOP, 0),
            "plain": partial(plain_script, views[layer], unit),
            "bare": partial(bare_product, views[layer], weight, scores),
        }
        for layer in (layers[0], *layers)
    )
    same = [agreement(decoder, views[layer], unit) for layer in layers]
    return {
        "shape": f"{checkpoint.neurons} x {checkpoint.width} by {len(weight)}, {len(layers)} layers",
        "precision": decoder.precision,
        "ours / bare product": median_ratio(times, "ours", "bare"),
        "ours / plain script": median_ratio(times, "ours", "plain"),
        "bare product of a layer, seconds": round(median_seconds(times, "bare"), 3),
        "preparing the head / bare product of all layers": round(
            prepared / checkpoint.layers / median_seconds(times, "bare"), 3
        ),
        "rows with the plain script's top token": round(sum(same) / len(same), 5),
    }


def agreement(decoder: Decoder, rows: Tensor, unit: Tensor) -> float:
    """Compute the share of rows to which decoder and plain script give the same first token; fp32 ties may differ."""
    top_ids = decoder.decode(rows, TOP, 0)[0][Lens.cosine].top.ids
    return float((top_ids[:, 0] == plain_script(rows, unit)[:, 0]).float().mean())


def measure_others() -> dict[str, object]:
    """Measure the ratios as another machine might have them, each in a process of its own."""
    figures: dict[str, object] = {}
    for name, environment in OTHERS.items():
        command = [sys.executable, "-m", "benchmarks.demo_view", "--few"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | environment)
        measured = json.loads(done.stdout)["figures"]
        figures |= {f"{name}: {figure}": measured[figure] for figure in ("precision", *TARGETS)}
    return figures


def main() -> None:
    """Measure some layers; with `--few` three, and nothing else."""
    about = describe_machine()
    if "--few" in sys.argv:
        figures = measure(FEW)
    else:
        figures = measure(range(30) if "--full" in sys.argv else QUICK) | measure_others()
    print(json.dumps({"machine": about, "targets": TARGETS, "figures": figures}))


if __name__ == "__main__":
    main()
