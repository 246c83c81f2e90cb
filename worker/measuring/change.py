"""The change in a model's predictions when its last hidden states change, averaged over prompts, for many rows at once.

One product with the head a batch, in tiles that are read while they are in the processor's cache. A row's mean change
is the only figure that is kept for the whole vocabulary. Knows the head; knows nothing of layers, neurons or labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from worker.errors import CheckpointError

TILE = 2048  # head rows
OFF = 1e-3  # by how much two computations of the same logits may differ, relative to the largest


@dataclass(frozen=True)
class Changes:
    """Mean changes of log-probabilities over prompts, in nats: `logits` less `level`."""

    logits: Tensor  # (rows, vocab)
    level: Tensor  # (rows,)
    kl: Tensor  # (rows,): mean of KL(plain || clamped)
    outside: Tensor  # head rows that belong to no token

    def token_changes(self, tokens: Tensor) -> Tensor:
        """Get the changes of some tokens, `(rows, tokens)` in and out."""
        return self.logits.gather(1, tokens) - self.level[:, None]

    def ranks(self, tokens: Tensor) -> Tensor:
        """Count the tokens that rise more than each of `tokens`, `(rows, tokens)` in and out."""
        logits = self._fill_outside(torch.full_like(self.level, -torch.inf))
        own = logits.gather(1, tokens)
        above = torch.zeros_like(own)
        for tile in torch.split(logits, TILE, 1):
            higher = torch.empty_like(tile)  # floats: they are summed many times faster than booleans
            for place in range(tokens.shape[1]):
                above[:, place] += torch.gt(tile, own[:, place, None], out=higher).sum(1)
        return above.long()

    def largest(self) -> tuple[Tensor, Tensor]:
        """Find the token that changes most, up or down, and its change: `(rows,)` each."""
        logits = self._fill_outside(self.level)
        highest, lowest = logits.max(1), logits.min(1)
        rises = highest.values - self.level >= self.level - lowest.values
        change = torch.where(rises, highest.values, lowest.values) - self.level
        return torch.where(rises, highest.indices, lowest.indices), change

    def _fill_outside(self, value: Tensor) -> Tensor:
        if not len(self.outside):
            return self.logits
        logits = self.logits.clone()
        logits[:, self.outside] = value[:, None]
        return logits


class Predictions:
    """A model's head, and its plain predictions at the end of some prompts.

    Args:
        ends: last hidden states after the final norm, `(prompts, width)`.
        logits: the model's own logits for them, `(prompts, vocab)`.
        token_ids: the head rows that are tokens.

    Raises:
        CheckpointError: the head does not give those logits, so the model has a step between them that we do not know.
    """

    def __init__(self, model: PreTrainedModel, ends: Tensor, logits: Tensor, token_ids: Sequence[int]) -> None:
        head: nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self._weight = head.get_parameter("weight")  # (vocab, width)
        self._bias = getattr(head, "bias", None)
        self._cap: float | None = getattr(model.config, "final_logit_softcapping", None)
        self._ends = ends.float()
        self._logits = torch.cat([self._scores(self._ends, tile) for tile in self._tiles()], 1)
        self._check(logits)
        self._probabilities = self._logits.softmax(-1)
        strangers = torch.ones(len(self._weight), dtype=torch.bool, device=ends.device)
        strangers[[id_ for id_ in token_ids if id_ < len(strangers)]] = False
        self._outside = strangers.nonzero()[:, 0]

    @property
    def vocab(self) -> int:
        """Rows of the head."""
        return len(self._weight)

    def changes(self, ends: Tensor) -> Changes:
        """Compute the changes that other last hidden states, `(prompts, rows, width)`, make."""
        prompts, rows, _ = ends.shape
        inputs = self._inputs(ends)
        logits = inputs.new_zeros(rows, len(self._weight))
        mass = inputs.new_zeros(prompts, rows)  # the plain probabilities times exp(change), summed
        drift = inputs.new_zeros(prompts, rows)  # their mean change
        for tile in self._tiles():
            for prompt, change in enumerate(self._change(inputs, tile)):  # (rows, tile)
                plain = self._probabilities[prompt, tile]
                logits[:, tile].add_(change, alpha=1 / prompts)
                drift[prompt] += change @ plain
                mass[prompt] += change.exp_() @ plain
        level = mass.log()  # (prompts, rows)
        for prompt, row in (~level.isfinite()).nonzero().tolist():  # exp overflowed
            level[prompt, row] = self._level(inputs[:, row, None], prompt)
        return Changes(logits, level.mean(0), (level - drift).mean(0).clamp(min=0), self._outside)

    def _inputs(self, ends: Tensor) -> Tensor:
        """Inputs of the head: where it is linear only the differences of states, so that small changes stay exact."""
        return ends.float() if self._cap else ends.float() - self._ends[:, None]

    def _change(self, inputs: Tensor, tile: slice) -> Tensor:
        """Compute the change of the logits of some head rows, `(prompts, rows, tile)`."""
        flat = inputs.flatten(0, 1)  # all prompts in one product
        scores = self._scores(flat, tile) if self._cap else flat @ self._weight[tile].float().T
        change = scores.view(*inputs.shape[:2], -1)
        return change - self._logits[:, None, tile] if self._cap else change

    def _level(self, inputs: Tensor, prompt: int) -> Tensor:
        change = torch.cat([self._change(inputs, tile)[prompt, 0] for tile in self._tiles()])
        scores = change + self._logits[prompt].log_softmax(-1)
        return scores.logsumexp(-1)

    def _scores(self, ends: Tensor, tile: slice) -> Tensor:
        scores: Tensor = ends @ self._weight[tile].float().T
        if self._bias is not None:
            scores = scores + self._bias[tile]
        return (scores / self._cap).tanh() * self._cap if self._cap else scores

    def _tiles(self) -> Iterator[slice]:
        return (slice(start, start + TILE) for start in range(0, len(self._weight), TILE))

    def _check(self, logits: Tensor) -> None:
        off = (self._logits - logits).abs().max() / logits.abs().max()
        if not off < OFF * (1 if self._weight.dtype == torch.float32 else 50):
            raise CheckpointError("This model's head is more than a product, so effects cannot be measured on it.")
