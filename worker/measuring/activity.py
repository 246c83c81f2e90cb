"""The activity of neurons on text: quantiles of their values, how often they fire, and where they are strongest.

The text is read once, layer by layer: a layer's values are turned into rows before the next layer computes its own.
Knows modules and text; knows nothing of label files or clamps.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from neuronym.contract import Site
from neuronym.label_tables import QUANTILES, code
from worker.mapping.shards import constant
from worker.measuring.samples import TextWindows
from worker.steering.clamp import Sites

Values = NDArray[np.float32]
Take = Callable[[int, pa.Table], None]

FIRES = 0.1  # share of the larger end of a neuron's range beyond which it fires
ENDS = (QUANTILES.index(0.001), QUANTILES.index(0.999))
CONTEXTS = 3  # for each sign
BEFORE = 8  # tokens of a context; the value belongs to the last
_CANDIDATES = 4 * CONTEXTS  # positions from which the first different texts are taken


class ActivityReader:
    """Reads a text with one model. `spell` gives the text of token ids."""

    def __init__(
        self, model: PreTrainedModel, sites: Sites, text: TextWindows, spell: Callable[[list[int]], str]
    ) -> None:
        self._model, self._sites, self._text = model, sites, text
        self._spell = spell
        self._context = cache(self._context_at)
        self._windows, self._places = (indices.tolist() for indices in text.counted.nonzero(as_tuple=True))

    @torch.inference_mode()
    def read(self, is_wanted: Callable[[int], bool], take: Take) -> None:
        """Pass each wanted layer's rows of the table `activity`, without the column `model`, to `take`."""
        with self._hooked(is_wanted, take):
            self._model.base_model(self._text.ids.to(self._model.device), use_cache=False)

    @contextmanager
    def _hooked(self, is_wanted: Callable[[int], bool], take: Take) -> Iterator[None]:
        seen: dict[Site, Tensor] = {}
        counted = self._text.counted.to(self._model.device)

        def keep(site: Site) -> Callable[[nn.Module, object, Tensor], None]:
            def hook(_: nn.Module, _inputs: object, output: Tensor) -> None:
                seen[site] = output[counted]  # (positions, neurons)

            return hook

        def finish(layer: int) -> Callable[[nn.Module, tuple[Tensor]], None]:
            def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
                seen[Site.act] = inputs[0][counted]
                take(layer, self._rows(layer, seen))
                seen.clear()

            return hook

        handles = []
        for layer in filter(is_wanted, range(self._sites.layers)):
            for site in (Site.up, Site.gate) if self._sites.family.gated else (Site.up,):
                handles.append(self._sites.module(layer, site).register_forward_hook(keep(site)))
            handles.append(self._sites.module(layer, Site.act).register_forward_pre_hook(finish(layer)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _rows(self, layer: int, seen: dict[Site, Tensor]) -> pa.Table:
        return pa.concat_tables([self._site_rows(layer, site, seen[site]) for site in Site if site in seen])

    def _site_rows(self, layer: int, site: Site, values: Tensor) -> pa.Table:
        by_neuron = values.float().T.contiguous().cpu().numpy()  # (neurons, positions)
        neurons = len(by_neuron)
        ranges = quantiles(by_neuron)
        contexts = self._contexts(by_neuron) if site is Site.act else [None] * neurons
        offsets = pa.array(range(0, ranges.size + 1, ranges.shape[1]), pa.int32())
        return pa.table(
            {
                "site": constant(code(site), neurons),
                "layer": constant(layer, neurons),
                "neuron": pa.array(range(neurons), pa.int32()),
                "quantiles": pa.ListArray.from_arrays(offsets, pa.array(ranges.ravel(), pa.float32())),
                "fires": pa.array(fires(by_neuron, ranges), pa.float32()),
                "contexts": pa.array(contexts, pa.string()),
            }
        )

    def _contexts(self, values: Values) -> list[str]:
        """Write the strongest token contexts of each neuron as JSON: highest values first, then lowest."""
        by_neuron = torch.from_numpy(values)
        few = min(_CANDIDATES, values.shape[1])
        highest, lowest = by_neuron.topk(few), by_neuron.topk(few, largest=False)
        ends = [(end.values.tolist(), end.indices.tolist()) for end in (highest, lowest)]
        return [
            json.dumps(
                self._strongest(ends[0][0][neuron], ends[0][1][neuron], 1)
                + self._strongest(ends[1][0][neuron], ends[1][1][neuron], -1),
                ensure_ascii=False,
            )
            for neuron in range(len(values))
        ]

    def _strongest(self, values: list[float], positions: list[int], sign: int) -> list[str]:
        """List different texts whose values have the sign, each after its value."""
        texts: dict[str, float] = {}
        for value, position in zip(values, positions, strict=True):
            if value * sign > 0 and len(texts) < CONTEXTS:
                texts.setdefault(self._context(position), value)
        return [f"{value:+.3g}: {text}" for text, value in texts.items()]

    def _context_at(self, position: int) -> str:
        window, place = self._windows[position], self._places[position]
        return self._spell(self._text.ids[window, max(0, place + 1 - BEFORE) : place + 1].tolist())


def quantiles(values: Values) -> Values:
    """Compute the values at QUANTILES, `(neurons, quantiles)`, of `(neurons, positions)`; linear between neighbours."""
    ordered = np.sort(values, axis=1)
    places = np.array(QUANTILES) * (ordered.shape[1] - 1)
    below = np.floor(places).astype(int)
    above = np.ceil(places).astype(int)
    share = (places - below).astype(np.float32)
    interpolated: Values = ordered[:, below] + (ordered[:, above] - ordered[:, below]) * share
    return interpolated


def fires(values: Values, ranges: Values) -> Values:
    """Compute the share of positions at which each neuron is beyond FIRES of its range, `(neurons,)`."""
    bound = FIRES * np.abs(ranges[:, ENDS]).max(1, keepdims=True)  # (neurons, 1)
    share: Values = (np.abs(values) > bound).mean(1, dtype=np.float32)
    return share
