"""What measuring the effect of a neuron costs: clamped rows a second against a loop of plain forward passes.

A row is one neuron clamped after one prompt, its prediction reduced to the figures of the table `effect`. The loop
makes a whole pass with a hook for each row and takes the change of the log-probabilities, nothing more. Both are timed
in one process, turn by turn, and the best of each is compared. Prints JSON.
"""

import argparse
import json
import os
from time import perf_counter

import torch

from neuronym.contract import Clamp, Direction, Site, View
from neuronym.label_tables import LABELS
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.sources import DEMO, DEMO_NAME
from worker.measuring.effect import PROMPTS, SITES, Effects, EffectSubject, Ranges
from worker.steering.clamp import prepare
from worker.steering.models import LiveModel, load

VALUE = 4.0  # about what neurons of late layers reach


@torch.inference_mode()
def time_loop(live: LiveModel, layer: int, rows: int) -> float:
    """Measure the rows a second of plain passes, each with one clamp."""
    prompts = [torch.tensor([live.codec.prompt(prompt)]) for prompt in PROMPTS]
    plain = [live.model(prompt, logits_to_keep=1).logits[0, -1].log_softmax(-1) for prompt in prompts]
    began = perf_counter()
    for row in range(rows):
        place = row % len(prompts)
        edits = prepare([Clamp(layer=layer, index=row, site=Site.act, value=VALUE)], live.sites)
        with edits.hooked(rows=1, since=prompts[place].shape[1] - 1):
            logits = live.model(prompts[place], logits_to_keep=1).logits[0, -1]
        logits.log_softmax(-1).sub_(plain[place])
    return rows / (perf_counter() - began)


def time_measurement(meter: Effects, layer: int, neurons: int, ranges: Ranges, labels: torch.Tensor) -> float:
    """Measure the rows a second of the measurement."""
    began = perf_counter()
    meter.measure_layer(layer, ranges, labels, only=torch.arange(neurons))
    return neurons * len(SITES) * len(Direction) * len(PROMPTS) / (perf_counter() - began)


def product_rate(checkpoint: Checkpoint) -> float:
    """Measure the GFLOP/s of a bare fp32 product with the head."""
    head, rows = checkpoint.head(), torch.randn(768, checkpoint.width)
    began = perf_counter()
    rows @ head.T
    return 2 * head.numel() * len(rows) / (perf_counter() - began) / 1e9


def row_gflop(checkpoint: Checkpoint, layer: int) -> float:
    """Compute the GFLOP of a row: the products of the layers above, and of the head."""
    config = checkpoint.config
    heads = int(config.num_attention_heads) + int(config.num_key_value_heads)
    layer_rows = 3 * checkpoint.neurons + 2 * heads * checkpoint.width // int(config.num_attention_heads)
    above = checkpoint.layers - 1 - layer
    return 2e-9 * checkpoint.width * (above * layer_rows + len(checkpoint.head()))


def main() -> None:
    """Measure some layers and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neurons", type=int, default=80)
    parser.add_argument("--rows", type=int, default=24, help="of the loop")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--layers", type=int, nargs="*", default=[4, 14, 24])
    options = parser.parse_args()
    checkpoint = open_checkpoint(DEMO)
    live = load(DEMO_NAME, checkpoint, torch.device("cpu"))
    subject = EffectSubject(
        live.model, live.sites, range(live.vocab), lambda layer: checkpoint.stored_rows(View.down, layer)
    )
    meter = Effects(subject, [live.codec.prompt(prompt) for prompt in PROMPTS])
    ranges = {site: {end: torch.full((checkpoint.neurons,), VALUE) for end in Direction} for site in SITES}
    labels = torch.arange(checkpoint.neurons).repeat(LABELS, 1)
    by_layer = {}
    for layer in options.layers:
        turns = [
            (time_measurement(meter, layer, options.neurons, ranges, labels), time_loop(live, layer, options.rows))
            for _ in range(options.rounds)
        ]
        ours, plain = map(max, zip(*turns, strict=True))
        by_layer[layer] = {"rows_per_second": round(ours), "loop": round(plain, 1), "times": round(ours / plain, 1)}
        by_layer[layer]["gflops"] = round(ours * row_gflop(checkpoint, layer))
    every = checkpoint.neurons * checkpoint.layers * len(SITES) * len(Direction) * len(PROMPTS)
    seconds = sum(every / len(by_layer) / figures["rows_per_second"] for figures in by_layer.values())
    about = {
        "model": DEMO_NAME,
        "by_layer": by_layer,
        "bare_product_gflops": round(max(product_rate(checkpoint) for _ in range(3))),
        "whole_model": {"rows": every, "minutes": round(seconds / 60, 1)},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_before": round(os.getloadavg()[1], 2),
    }
    print(json.dumps(about, indent=2))


if __name__ == "__main__":
    main()
