"""Weights to labels on a GPU, as a mapping does it, beside the bare product and a plain script.

A turn is a layer: three views under both lenses, with the control rows and the neighbours timed apart. The plain script
makes the same product, then takes `topk` and the statistics from all scores. Needs pydantic, for the names of lenses.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.gpu_trial import Contenders, Figures, Trial, count_wrong
from benchmarks.shapes import make_vectors
from benchmarks.timing import median_ratio, median_seconds, time_seconds, until_done
from neuronym.contract import Lens, View
from worker.lens.decoded import Decoded
from worker.lens.decoder import Decoder
from worker.lens.exact import Head
from worker.lens.neighbours import nearest
from worker.lens.noise import mixtures
from worker.machine.cores import MOST_ON_DEVICE

TOP, BOTTOM = 20, 10
SAMPLE = 256  # rows that a decoder is shown
COMPARED = 64  # rows that are decoded on the CPU, too


def measure(trial: Trial) -> Figures:
    """Measure some layers."""
    shape, device = trial.shape, trial.device
    weight = make_vectors(shape.vocab, shape.width, 1, device, torch.bfloat16)  # (vocab, width)
    decoders: list[Decoder] = []

    def prepare_head() -> None:
        head = Head(weight, torch.arange(shape.vocab, device=device))
        head.prepare(list(Lens))
        decoders.append(Decoder(head, "auto", make_rows(trial, 0)[:SAMPLE], list(Lens)))

    prepared = time_seconds(until_done(prepare_head, device))
    decoder, factor = decoders[0], weight if decoders[0].precision == "bf16" else weight.float()
    times = trial.time(trial.layers, lambda layer: contenders(trial, decoder, factor, layer))
    rows = make_rows(trial, 0)
    whole = sum(median_seconds(times, name) for name in ("ours", "control", "neighbours"))
    return {
        "rows of a layer": f"{len(View)} x {shape.neurons} x {shape.width} by {shape.vocab}, {len(times)} layers",
        "precision": decoder.precision,
        "ours / bare product": median_ratio(times, "ours", "bare"),
        "ours / plain script": median_ratio(times, "ours", "plain"),
        "control / bare product": median_ratio(times, "control", "bare"),
        "neighbours / bare product": median_ratio(times, "neighbours", "bare"),
        "rows a second, both lenses": round(len(View) * shape.neurons / median_seconds(times, "ours")),
        "bare product of a layer, seconds": round(median_seconds(times, "bare"), 4),
        "preparing the head, seconds": round(prepared, 2),
        f"computing of {shape.layers} layers, minutes, extrapolated": round(shape.layers * whole / 60, 2),
        **trial.peak_gb(lambda: decoder.decode(rows, TOP, BOTTOM)),
        "tokens compared with fp32 on the CPU": 2 * (TOP + BOTTOM) * min(COMPARED, len(rows)),
        "of these wrong": differences(decoder, weight, rows),
    }


def make_rows(trial: Trial, seed: int) -> Tensor:
    """Make the rows of one view, `(neurons, width)`: fp32 numbers that bf16 holds, as a checkpoint gives them."""
    return make_vectors(trial.shape.neurons, trial.shape.width, 2 + seed, trial.device, torch.bfloat16).float()


def contenders(trial: Trial, decoder: Decoder, factor: Tensor, layer: int) -> Contenders:
    """Make the rows of a layer, and what is run on them; `factor` is the head in the dtype of the product."""
    views = [make_rows(trial, len(View) * layer + place) for place in range(len(View))]
    factors = [rows.to(factor.dtype) for rows in views]
    return {
        "ours": lambda: [decoder.decode(rows, TOP, BOTTOM) for rows in views],
        "plain": lambda: [plain_labels(scores, factor) for rows in factors for scores in products(rows, factor)],
        "bare": lambda: [None for rows in factors for _ in products(rows, factor)],
        "control": lambda: [decoder.ends(mixtures(rows, layer)) for rows in views],
        "neighbours": lambda: [nearest(rows, bound=decoder.bound) for rows in views],
    }


def products(rows: Tensor, factor: Tensor) -> Iterator[Tensor]:
    """Yield the scores of rows block by block, `(at most MOST_ON_DEVICE, vocab)`, with sums in fp32."""
    for block in rows.split(MOST_ON_DEVICE):  # type: ignore[no-untyped-call]
        if factor.dtype is torch.float32:
            yield torch.mm(block, factor.T)
        else:
            yield torch.mm(block, factor.T, out_dtype=torch.float32)


def plain_labels(scores: Tensor, factor: Tensor) -> list[tuple[Tensor, ...]]:
    """Take the labels of both lenses from all scores, `(rows, vocab)`, as a simple script would.

    Rows are not brought to unit length: that changes the scale of a row's cosines and none of its tokens.
    """
    cosines = scores / torch.linalg.vector_norm(factor, dim=1, dtype=torch.float32)
    deviations = (cosines - cosines.mean(1, keepdim=True)) / cosines.std(1, keepdim=True)
    return [
        (*_ends(scores), *torch.std_mean(scores, 1), scores.logsumexp(1)),
        (*_ends(cosines), *torch.std_mean(cosines, 1), deviations.pow(3).mean(1), deviations.pow(4).mean(1)),
    ]


def _ends(scores: Tensor) -> tuple[Tensor, ...]:
    return (*scores.topk(TOP), *scores.topk(BOTTOM, largest=False))


def differences(decoder: Decoder, weight: Tensor, rows: Tensor) -> int:
    """Count the tokens of a sample's labels that are not where plain fp32 on the CPU has them."""
    sample = rows[torch.linspace(0, len(rows) - 1, min(COMPARED, len(rows))).long()]
    decoded = decoder.decode(sample, TOP, BOTTOM)[0]
    wide = weight.cpu().float()
    scores = sample.cpu() @ wide.T  # (sample, vocab)
    cosines = scores / torch.linalg.vector_norm(wide, dim=1)
    true = {Lens.logit: scores, Lens.cosine: cosines}
    return sum(_wrong(true[lens], decoded[lens]) for lens in Lens)


def _wrong(scores: Tensor, decoded: Decoded) -> int:
    return count_wrong(scores, decoded.top.ids.cpu(), 1) + count_wrong(scores, decoded.bottom.ids.cpu(), -1)
