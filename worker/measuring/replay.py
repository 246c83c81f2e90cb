"""The end of one prompt run again for many clamped neurons at once, from the clamped layer upwards.

The prompt is read once. Rows differ from each other at its last position alone, so nothing else is computed again.
Knows modules and tensors; knows nothing of labels or of where clamp values come from.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import DynamicCache, PreTrainedModel

from neuronym.contract import Site
from worker.measuring.attention import Prefix, by_row
from worker.steering.clamp import Sites


@dataclass(frozen=True)
class Call:
    """What the model gave a layer at the last position, with the prefix in the cache's place."""

    hidden: Tensor  # (1, 1, width)
    others: tuple[Any, ...]
    named: dict[str, Any]


class Replay:
    """One prompt of at least two tokens on one model. `logits`, `(vocab,)`, is what the model itself predicts."""

    @torch.inference_mode()
    def __init__(self, model: PreTrainedModel, sites: Sites, prompt: Sequence[int]) -> None:
        self._config, self._sites = model.config, sites
        self._own = threading.local()
        self._layers = list(model.get_submodule(sites.family.layers_path).children())
        self._norm = model.get_submodule(sites.family.norm)
        tokens = torch.tensor([list(prompt)], device=model.device)
        cache = DynamicCache(config=model.config)
        model(tokens[:, :-1], cache=cache, use_cache=True, logits_to_keep=1)
        prefix = Prefix(*zip(*(_shared(layer) for layer in cache.layers), strict=True))
        self._calls: list[Call] = []
        with _hooks(
            *(layer.register_forward_pre_hook(self._keeper(cache, prefix), with_kwargs=True) for layer in self._layers)
        ):
            self.logits: Tensor = model(tokens[:, -1:], cache=cache, use_cache=True).logits[0, 0].float()

    def _keeper(self, cache: DynamicCache, prefix: Prefix) -> Any:
        def keep(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            first, *others = given  # every model gives the hidden states by place
            shared = [prefix if value is cache else value for value in others]
            named = {name: prefix if value is cache else value for name, value in named.items()}
            self._calls.append(Call(first, tuple(shared), named))

        return keep

    @torch.inference_mode()
    def products(self, layer: int, up: Tensor | None = None) -> Tensor:
        """The input of a layer's down projection, `(neurons,)`: as it is, or where every `up` output is the one given.

        A neuron's product depends on its own `up` output alone, so one pass answers for clamping each of them.
        """
        seen: list[Tensor] = []
        hooks = [self._module(layer, Site.act).register_forward_pre_hook(lambda _, given: seen.append(given[0][0, 0]))]
        if up is not None:
            hooks.append(
                self._module(layer, Site.up).register_forward_hook(lambda _, __, out: up.to(out).expand_as(out))
            )
        with _hooks(*hooks), by_row(self._config):
            self._run(layer, self._calls[layer].hidden)
        return seen[0]

    @contextmanager
    def at(self, layer: int) -> Iterator[None]:
        """Make `ends` of a layer possible inside the block, from several threads at once."""
        down = self._module(layer, Site.act)
        with _hooks(down.register_forward_hook(self._add)), by_row(self._config):
            yield

    @torch.inference_mode()
    def ends(self, layer: int, added: Tensor) -> Tensor:
        """Last hidden states after the final norm, where `added` joins what the layer's down projection writes.

        Both are `(rows, width)`.
        """
        self._own.added = added
        try:
            hidden = self._run(layer, self._calls[layer].hidden)  # (1, rows, width)
        finally:
            del self._own.added
        for above in range(layer + 1, len(self._layers)):
            hidden = self._run(above, hidden)
        ends: Tensor = self._norm(hidden)
        return ends[0]

    def plain_end(self) -> Tensor:
        """The last hidden state of the prompt as it is, by the same way, `(1, width)`."""
        with self.at(0):
            return self.ends(0, torch.zeros_like(self._calls[0].hidden[0]))

    def _add(self, _: nn.Module, _given: object, written: Tensor) -> Tensor:
        added: Tensor | None = getattr(self._own, "added", None)  # None: another prompt's turn
        return written if added is None else written + added

    def _run(self, layer: int, hidden: Tensor) -> Tensor:
        call = self._calls[layer]
        output = self._layers[layer](hidden, *call.others, **call.named)
        out: Tensor = output[0] if isinstance(output, tuple) else output
        return out

    def _module(self, layer: int, site: Site) -> nn.Module:
        return self._sites.module(layer, site)


def _shared(layer: Any) -> tuple[Tensor, Tensor]:
    """Keys and values that a layer's cache holds so far; what comes later makes new tensors."""
    return layer.keys, layer.values


@contextmanager
def _hooks(*handles: RemovableHandle) -> Iterator[None]:
    """Remove hooks when the block is left."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
