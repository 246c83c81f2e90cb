"""Attention of many rows that share all positions except the last: all rows use one copy of the shared keys and values.

The rows are the queries of one sequence. Each attends to the shared positions and to itself, never to another row.
Knows transformers' attention interface; knows no model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedConfig

NAME = "neuronym_rows"


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the shared positions, in place of the cache that layers expect. Never grows."""

    keys: Sequence[Tensor]  # one a layer, (1, heads, positions, size)
    values: Sequence[Tensor]

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Join the shared positions and one position a row, `(1, heads, positions + rows, size)`."""
        return torch.cat([self.keys[layer], keys], 2), torch.cat([self.values[layer], values], 2)


def attend_by_row(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None = None,
    *,
    scaling: float,
    softcap: float | None = None,
    **_others: object,
) -> tuple[Tensor, None]:
    """Attend with `(1, heads, rows, size)` queries to the result of `Prefix.update`; gives `(1, rows, heads, size)`."""
    _, heads, rows, size = query.shape
    kinds = key.shape[1]  # heads of keys; neighbouring query heads share one
    shared = key.shape[2] - rows
    queries = query.reshape(kinds, heads // kinds, rows, size) * scaling
    keys, values = key[0, :, None], value[0, :, None]  # (kinds, 1, shared + rows, size)
    to_shared = queries @ keys[:, :, :shared].mT  # (kinds, group, rows, shared)
    to_itself = (queries * keys[:, :, shared:]).sum(-1, keepdim=True)
    scores = torch.cat([to_shared, to_itself], -1)
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    mixed = weights[..., :shared] @ values[:, :, :shared] + weights[..., shared:] * values[:, :, shared:]
    return mixed.reshape(1, heads, rows, size).transpose(1, 2), None


AttentionInterface.register(NAME, attend_by_row)


@contextmanager
def by_row(config: PreTrainedConfig) -> Iterator[None]:
    """Make the model of this configuration use `attend_by_row` inside the block; whole passes would be wrong there."""
    usual = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = usual
