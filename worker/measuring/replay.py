"""The last position of a prompt run again for many clamped neurons at once, from the clamped layer upwards.

The prompt is read once. Rows differ only at its last position, so nothing else is computed again.
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
class LayerCall:
    """The arguments of a layer at the last position, with the prefix in place of the cache."""

    hidden: Tensor  # (1, 1, width)
    others: tuple[Any, ...]
    named: dict[str, Any]


class Replay:
    """One prompt of at least two tokens on one model. `logits`, `(vocab,)`, is the model's own prediction."""

    @torch.inference_mode()
    def __init__(self, model: PreTrainedModel, sites: Sites, prompt: Sequence[int]) -> None:
        self._config, self._sites = model.config, sites
        self._own = threading.local()
        self._layers = list(model.get_submodule(sites.family.layers_path).children())
        self._norm = model.get_submodule(sites.family.norm)
        tokens = torch.tensor([list(prompt)], device=model.device)
        cache = DynamicCache(config=model.config)
        model(tokens[:, :-1], cache=cache, use_cache=True, logits_to_keep=1)
        prefix = Prefix(*zip(*(_cached(layer) for layer in cache.layers), strict=True))
        self._calls: list[LayerCall] = []
        with _hooks(
            *(
                layer.register_forward_pre_hook(self._recorder(cache, prefix), with_kwargs=True)
                for layer in self._layers
            )
        ):
            self.logits: Tensor = model(tokens[:, -1:], cache=cache, use_cache=True).logits[0, 0].float()

    def _recorder(self, cache: DynamicCache, prefix: Prefix) -> Any:
        def record(_: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            first, *others = inputs  # every model passes the hidden states by position
            shared = [prefix if value is cache else value for value in others]
            keywords = {name: prefix if value is cache else value for name, value in keywords.items()}
            self._calls.append(LayerCall(first, tuple(shared), keywords))

        return record

    @torch.inference_mode()
    def products(self, layer: int, up: Tensor | None = None) -> Tensor:
        """Compute the input of a layer's down projection, `(neurons,)`, with `up` in place of its `up` outputs if set.

        A neuron's product depends on its own `up` output alone, so one pass gives the result of clamping each neuron.
        """
        seen: list[Tensor] = []
        hooks = [
            self._module(layer, Site.act).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, 0]))
        ]
        if up is not None:
            hooks.append(
                self._module(layer, Site.up).register_forward_hook(lambda _, __, out: up.to(out).expand_as(out))
            )
        with _hooks(*hooks), by_row(self._config):
            self._run(layer, self._calls[layer].hidden)
        return seen[0]

    @contextmanager
    def hooked_at(self, layer: int) -> Iterator[None]:
        """Hook a layer so that `ends` of it can be called inside the block, from several threads at once."""
        down = self._module(layer, Site.act)
        with _hooks(down.register_forward_hook(self._add)), by_row(self._config):
            yield

    @torch.inference_mode()
    def ends(self, layer: int, added: Tensor) -> Tensor:
        """Compute last hidden states after the final norm when `added` is added to the output of the down projection.

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
        """Compute the last hidden state of the unchanged prompt by the same steps, `(1, width)`."""
        with self.hooked_at(0):
            return self.ends(0, torch.zeros_like(self._calls[0].hidden[0]))

    def _add(self, _: nn.Module, _inputs: object, written: Tensor) -> Tensor:
        added: Tensor | None = getattr(self._own, "added", None)  # None while another prompt runs
        return written if added is None else written + added

    def _run(self, layer: int, hidden: Tensor) -> Tensor:
        call = self._calls[layer]
        output = self._layers[layer](hidden, *call.others, **call.named)
        out: Tensor = output[0] if isinstance(output, tuple) else output
        return out

    def _module(self, layer: int, site: Site) -> nn.Module:
        return self._sites.module(layer, site)


def _cached(layer: Any) -> tuple[Tensor, Tensor]:
    """Get the keys and values in a layer's cache; later updates make new tensors and leave these unchanged."""
    return layer.keys, layer.values


@contextmanager
def _hooks(*handles: RemovableHandle) -> Iterator[None]:
    """Remove the hooks on leaving the block."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
