"""The generation loop: one column of tokens a step, one token a row, all rows from the same prompt.

A plain generator: the caller owns streaming and stopping; closing the generator cancels the run. Knows nothing of
text, of stop tokens, or of what the rows mean, except that clamps touch the last ones.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from worker.steering.clamp import Edits

CHUNK = 512  # prompt tokens a step: bounds memory, and the time until a cancelled run stops
COLDEST = 1e-4  # lower temperatures are greedy: fp32 cannot tell them apart
SMALL = 500_000_000  # parameters, and
THIN = 16  # tokens, below which one thread is about as quick as all, and five times quicker on a busy machine
FEW = 4  # rows, above which the part of a prompt that no clamp touches is read separately, as one row

Positions = Literal["all", "prompt", "generated"]
UNCLAMPED = Edits()


@dataclass(frozen=True)
class Column:
    """One generated token a row, and every row's prediction: natural-log probabilities at temperature 1."""

    token_ids: list[int]  # (rows,)
    logprobs: torch.Tensor  # (rows, vocab)


class Sampler:
    """Chooses the next token of every row. All rows get the same noise, so they differ only where their logits do."""

    def __init__(self, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0) -> None:
        self.temperature = temperature
        self.top_p = top_p
        self._generator = torch.Generator().manual_seed(seed)  # on the CPU: one seed, one text, on any device

    def choose(self, logits: torch.Tensor) -> torch.Tensor:
        """Draw from the tempered, truncated softmax of `logits`, `(rows, vocab)`; return ids, `(rows,)`."""
        if self.temperature < COLDEST:
            return logits.argmax(-1)
        scores = (logits - logits.amax(-1, keepdim=True)) / self.temperature
        if self.top_p < 1:
            scores = nucleus(scores, self.top_p)
        waits = torch.empty(logits.shape[-1]).exponential_(generator=self._generator)
        return (scores - waits.log().to(scores.device)).argmax(-1)  # -log of an exponential is Gumbel noise


def nucleus(scores: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the likeliest tokens that together reach `top_p`; the rest become -inf. `(rows, vocab)` in and out."""
    ordered, order = scores.sort(-1, descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # the mass of all likelier tokens
    return scores.scatter(-1, order, ordered.masked_fill(before >= top_p, -torch.inf))


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on `count` CPU threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompt: list[int],
    edits: Edits,
    *,
    rows: int,
    positions: Positions,
    sampler: Sampler,
    max_new_tokens: int,
) -> Generator[Column | None, None, None]:
    """Generate `max_new_tokens` columns after a prompt of at least one token; `None` for each step of reading it."""
    cache = DynamicCache(config=model.config)
    small, cores = model.num_parameters() < SMALL, torch.get_num_threads()

    def forward(tokens: torch.Tensor, clamped: Edits, since: int = 0) -> torch.Tensor:
        with clamped.hooked(rows, since), threads(1 if small and tokens.numel() < THIN else cores):
            output = model(tokens, cache=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits  # (1 or rows, vocab)

    # The prompt goes in as one row and becomes `rows` at the first clamp: the layers below it are computed once.
    tokens = torch.tensor([prompt], device=model.device)
    for chunk, clamped, since in _chunks(tokens, edits, positions, apart=rows > FEW):
        yield None
        _widen(cache, rows, above=clamped.first)
        logits = forward(chunk, clamped, since)
    _widen(cache, rows)
    logits = logits.expand(rows, -1)

    clamped = UNCLAMPED if positions == "prompt" else edits
    for left in reversed(range(max_new_tokens)):
        chosen = sampler.choose(logits)
        yield Column(chosen.tolist(), logits.log_softmax(-1))
        if left:
            logits = forward(chosen[:, None], clamped)


def _chunks(
    tokens: torch.Tensor, edits: Edits, positions: Positions, apart: bool
) -> Iterator[tuple[torch.Tensor, Edits, int]]:
    """Cut a prompt, `(1, positions)`, into chunks, each with its clamps and the position in it from which they hold.

    With `apart` the part that no clamp touches is a chunk of its own: one more pass, but of one row instead of many.
    """
    length = tokens.shape[1]
    first = length - 1 if positions == "generated" else 0
    starts = sorted({*range(0, length, CHUNK), *([first] if apart else [])})
    for start, end in zip(starts, [*starts[1:], length], strict=True):
        since = max(0, first - start)
        yield tokens[:, start:end], edits if since < end - start else UNCLAMPED, since


def _widen(cache: DynamicCache, rows: int, above: float = -1) -> None:
    """Give the cached keys and values of the layers above `above` one copy a row."""
    for index, layer in enumerate(cache.layers):
        if index > above and isinstance(layer, DynamicLayer) and layer.keys is not None and len(layer.keys) < rows:
            layer.batch_repeat_interleave(rows)
