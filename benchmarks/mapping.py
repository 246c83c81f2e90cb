"""What mapping costs: decoding against the bare fp32 product and against a script anyone would write.

Contenders take turns on the same rows in one process and the median of each turn's ratio is told, so that a busy
machine disturbs all alike. Prints JSON. Three parts, each in a process of its own: `demo` is the demo model's up view
under the cosine lens, top 20; `large` is the shape of Llama 3.1 8B on synthetic weights with outliers, some rows
measured and the whole extrapolated; `growth` is how time grows with neurons, width and vocabulary.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from app.contract import Lens, View
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.sources import DEMO
from worker.naming.decoder import Decoder
from worker.naming.lens import Head

TOP = 20
LAYERS, NEURONS, WIDTH, VOCAB = 32, 14_336, 4096, 128_256  # of Llama 3.1 8B
ROWS = 1024  # of the large shape, a turn
BASE = {"neurons": 1024, "width": 512, "vocabulary": 32_768}  # what growth starts from


def bare(rows: Tensor, weight: Tensor, scores: Tensor) -> None:
    """The fp32 product and nothing else, into memory that is there already."""
    torch.mm(rows, weight.T, out=scores)


def plain(rows: Tensor, unit: Tensor) -> Tensor:
    """What a script would do: unit vectors, all scores, `topk`."""
    return (torch.nn.functional.normalize(rows, dim=1) @ unit.T).topk(TOP).indices


def seconds(contender: Callable[[], object]) -> float:
    began = perf_counter()
    contender()
    return perf_counter() - began


def turns(contenders: Iterable[dict[str, Callable[[], object]]]) -> list[dict[str, float]]:
    """Seconds of each contender at each turn; the first turn is to warm up, and is left out."""
    return [{name: seconds(run) for name, run in turn.items()} for turn in contenders][1:]


def ratio(times: Sequence[dict[str, float]], one: str, other: str) -> float:
    """Median over the turns."""
    return round(median(time[one] / time[other] for time in times), 3)


def peak_memory() -> float:
    """Of this process so far, in GiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def demo(layers: Sequence[int]) -> dict[str, object]:
    """The demo model's up view, cosine lens, top 20; one layer a turn."""
    checkpoint = open_checkpoint(DEMO)
    weight = checkpoint.head()
    head = Head(weight, torch.arange(len(weight)))
    views = {layer: checkpoint.rows(View.up, layer) for layer in layers}
    began = perf_counter()
    decoder = Decoder(head, "auto", views[layers[0]][:256], [Lens.cosine])
    head.prepare([Lens.cosine])
    prepared = perf_counter() - began
    decoder.decode(views[layers[0]], TOP, 0)
    peak = peak_memory()
    unit = torch.nn.functional.normalize(weight, dim=1)
    scores = torch.empty(checkpoint.neurons, len(weight))
    times = turns(
        {
            "ours": partial(decoder.decode, views[layer], TOP, 0),
            "plain": partial(plain, views[layer], unit),
            "bare": partial(bare, views[layer], weight, scores),
        }
        for layer in (layers[0], *layers)
    )
    same = [_same(decoder, views[layer], unit) for layer in layers]
    bare_gemms = checkpoint.layers * median(time["bare"] for time in times)
    return {
        "shape": f"{checkpoint.neurons} x {checkpoint.width} by {len(weight)}",
        "layers measured": len(layers),
        "precision": decoder.precision,
        "ours / bare product": ratio(times, "ours", "bare"),
        "ours / plain script": ratio(times, "ours", "plain"),
        "preparing / bare product of all layers": round(prepared / bare_gemms, 3),
        "peak memory, GiB": peak,
        "rows with the plain script's top token": round(sum(same) / len(same), 5),
    }


def _same(decoder: Decoder, rows: Tensor, unit: Tensor) -> float:
    found = decoder.decode(rows, TOP, 0)[0][Lens.cosine].top.ids
    return float((found[:, 0] == plain(rows, unit)[:, 0]).float().mean())


def synthetic(count: int, width: int, seed: int) -> Tensor:
    """Vectors as trained ones are: of many lengths, around a common mean, with a few channels ten times as strong."""
    generator = torch.Generator().manual_seed(seed)
    channels = torch.ones(width)
    channels[torch.randperm(width, generator=generator)[: max(1, width // 500)]] = 10
    mean = 0.3 * torch.randn(width, generator=generator)
    vectors = torch.empty(count, width)
    for block in vectors.split(4096):  # type: ignore[no-untyped-call]
        block.normal_(generator=generator).add_(mean).mul_(channels)
        block.mul_(torch.randn(len(block), 1, generator=generator).mul_(0.3).exp_())
    return vectors.mul_(0.02)


def large(rounds: int) -> dict[str, object]:
    """Some rows of Llama 3.1 8B's shape, and what all layers would take."""
    head = Head(synthetic(VOCAB, WIDTH, seed=1), torch.arange(VOCAB))
    rows = synthetic(NEURONS, WIDTH, seed=2)  # a layer, as mapping holds it
    began = perf_counter()
    decoder = Decoder(head, "auto", rows[-256:], [Lens.cosine])
    head.prepare([Lens.cosine])
    prepared = perf_counter() - began
    decoder.decode(rows[:ROWS], TOP, 0)
    peak = peak_memory()
    scores = torch.empty(ROWS, VOCAB)
    times = turns(
        {
            "ours": partial(decoder.decode, part, TOP, 0),
            "bare": partial(bare, part, head.weight, scores),
        }
        for part in rows[: ROWS * (rounds + 1)].view(-1, ROWS, WIDTH)
    )
    share = NEURONS * LAYERS / ROWS
    return {
        "shape": f"{ROWS} x {WIDTH} by {VOCAB}, {rounds} times, synthetic weights",
        "precision": decoder.precision,
        "ours / bare product": ratio(times, "ours", "bare"),
        "peak memory, GiB": peak,
        "preparing / bare product of all layers": round(prepared / share / median(time["bare"] for time in times), 4),
        "all layers, minutes, extrapolated": round((prepared + share * median(time["ours"] for time in times)) / 60, 1),
        "bare product of all layers, minutes, extrapolated": round(
            share * median(time["bare"] for time in times) / 60, 1
        ),
    }


def growth(rounds: int) -> dict[str, object]:
    """Time at twice and four times each size, as a multiple of the time at the base."""
    found: dict[str, object] = {"base": BASE}
    for name in BASE:
        contenders = {str(times): _decoding(**(BASE | {name: BASE[name] * times})) for times in (1, 2, 4)}
        times = turns([contenders] * (rounds + 1))
        found[name] = {f"{times_} times": ratio(times, times_, "1") for times_ in ("2", "4")}
    return found


def _decoding(neurons: int, width: int, vocabulary: int) -> Callable[[], object]:
    head = Head(synthetic(vocabulary, width, seed=1), torch.arange(vocabulary))
    rows = synthetic(neurons, width, seed=2)
    decoder = Decoder(head, "auto", rows[:64], [Lens.cosine])
    return partial(decoder.decode, rows, TOP, 0)


def apart(part: str, full: bool) -> dict[str, object]:
    """A part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, *(["--full"] if full else [])]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def main() -> None:
    """Print the parts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="some layers and few turns, two minutes (the default)")
    how.add_argument("--full", action="store_true", help="every layer of the demo model, and more turns")
    parser.add_argument("--part", choices=["demo", "large", "growth"], help="only this one")
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "demo": lambda: demo(range(30) if arguments.full else (0, 7, 15, 22, 29)),
        "large": lambda: large(9 if arguments.full else 3),
        "growth": lambda: growth(7 if arguments.full else 3),
    }
    if arguments.part:
        print(json.dumps(parts[arguments.part]()))
        return
    whole = {part: apart(part, arguments.full) for part in parts}
    machine = {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1)}
    print(json.dumps({"mapping": {"machine": machine} | whole}, indent=2))


if __name__ == "__main__":
    main()
