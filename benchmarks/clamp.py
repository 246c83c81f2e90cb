"""What a clamp costs: baseline and clamped together against one plain `model.generate`, on the demo model.

Everything is timed in one process, turn by turn, and the best of each is compared, so that a busy machine disturbs
both sides alike. Prints JSON: times in seconds, everything else as a multiple of the plain time.
"""

import argparse
import json
import os
from collections.abc import Callable
from time import perf_counter

import torch
from transformers import PreTrainedModel

from neuronym.contract import Clamp
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.sources import DEMO, DEMO_NAME
from worker.steering.clamp import prepare
from worker.steering.engine import Sampler, decode
from worker.steering.models import LiveModel, load

NEURON = 808
PROMPTS = {
    "short": "My favourite animal is the",
    "long": "The quick brown fox jumps over the lazy dog, and the dog looks up and wonders why. " * 12,
}


def generate_plain(model: PreTrainedModel, prompt: list[int], count: int) -> None:
    """Generate one row as transformers does it."""
    model.generate(torch.tensor([prompt]), max_new_tokens=count, min_new_tokens=count, do_sample=False)  # type: ignore[operator]


def generate_pair(live: LiveModel, prompt: list[int], count: int, layers: tuple[int, ...]) -> None:
    """Generate baseline and clamped rows together, one clamp in each of the layers."""
    edits = prepare([Clamp(layer=layer, index=NEURON, value=20) for layer in layers], live.sites)
    for _ in decode(live.model, prompt, edits, rows=2, positions="all", sampler=Sampler(), max_new_tokens=count):
        pass


def best_seconds(rounds: int, *contenders: Callable[[], None]) -> list[float]:
    """Measure the seconds of each contender's best round; contenders take turns."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, seconds in zip(contenders, times, strict=True):
            began = perf_counter()
            contender()
            seconds.append(perf_counter() - began)
    return [min(seconds) for seconds in times]


def measure(model: PreTrainedModel, live: LiveModel, text: str, count: int, rounds: int) -> dict[str, object]:
    """Measure the costs on one prompt."""
    prompt = live.codec.prompt(text)
    last = live.sites.layers - 1
    layers = (0, last // 2 + 1, last)
    whole = best_seconds(
        rounds,
        lambda: generate_plain(model, prompt, count),
        lambda: generate_pair(live, prompt, count, (last,)),
        lambda: generate_pair(live, prompt, count, ()),
    )
    first = best_seconds(
        rounds,
        lambda: generate_plain(model, prompt, 1),
        *(lambda layer=layer: generate_pair(live, prompt, 1, (layer,)) for layer in layers),
    )
    return {
        "prompt_tokens": len(prompt),
        "generate_seconds": round(whole[0], 3),
        "baseline_and_clamped": round(whole[1] / whole[0], 3),
        "two_rows_without_clamps": round(whole[2] / whole[0], 3),
        "first_token_seconds": round(first[0], 3),
        "first_token_by_clamped_layer": {
            str(layer): round(seconds / first[0], 3) for layer, seconds in zip(layers, first[1:], strict=True)
        },
    }


def main() -> None:
    """Measure every prompt and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    checkpoint, cpu = open_checkpoint(DEMO), torch.device("cpu")
    model, _ = checkpoint.load(cpu, torch.float32)
    live = load(DEMO_NAME, checkpoint, cpu)
    prompts = {name: measure(model, live, text, options.tokens, options.rounds) for name, text in PROMPTS.items()}
    about = {
        "model": DEMO_NAME,
        "new_tokens": options.tokens,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_before": round(os.getloadavg()[2], 2),
    }
    print(json.dumps(about | {"prompts": prompts}, indent=2))


if __name__ == "__main__":
    main()
