"""Map layers to shards in memory: read rows ahead, decode them, compare them with chance and with each other.

Runs in this process or in a task on another machine. Writes nothing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import torch
from torch import Tensor

from neuronym.contract import Lens, View
from neuronym.label_tables import code
from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.vocabulary import Vocabulary
from worker.lens.decoder import BatchOutcome, Decoder
from worker.lens.exact import Head
from worker.lens.noise import Thresholds, mixtures, reach
from worker.lens.odd_tokens import odd_share, odd_tokens
from worker.mapping.label_rows import label_rows, neighbour_rows
from worker.mapping.noise_level import TABLE as CONTROL
from worker.mapping.noise_level import Figures, figures_shard, layer_figures
from worker.mapping.prefetch import copy_to, prefetch
from worker.mapping.recipe import MapRecipe
from worker.mapping.shards import encode_shard, view_table

SAMPLE = 256  # rows on which the decoder compares its products


@dataclass(frozen=True)
class LayerShards:
    """A layer's shards by table and view, in the order of writing: a view's label shard, its last, marks it as done."""

    layer: int
    tables: Mapping[str, bytes] = field(repr=False)


class LayerMapper:
    """Map layers of one checkpoint under one recipe.

    Args:
        device: where the products are computed. Rows are read on the CPU.

    Raises:
        CheckpointError: the head is missing, damaged or of the wrong shape.
    """

    def __init__(self, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: MapRecipe, device: torch.device) -> None:
        self._checkpoint, self._recipe, self._device = checkpoint, recipe, device
        weight = checkpoint.head(as_stored=True).to(device)
        ids = [id_ for id_ in vocabulary.ids if id_ < len(weight)]
        head = Head(weight, torch.tensor(ids, device=device))
        sample = checkpoint.rows(recipe.views[0], checkpoint.layers // 2)[:SAMPLE].clone().to(device)
        self._decoder = Decoder(head, recipe.precision, sample, recipe.lenses)
        self._odd_tokens = odd_tokens(self._decoder.head, vocabulary)

    def run(self, layers: Sequence[int]) -> Iterator[LayerShards]:
        """Map the layers in turn.

        Raises:
            CheckpointError: a tensor is missing, damaged or of the wrong shape.
        """
        views = self._recipe.views
        rows = prefetch(self._read, [(layer, view) for layer in layers for view in views])
        for layer in layers:
            tables: dict[str, bytes] = {}
            for view in views:
                tables |= self._map_view(layer, view, next(rows))
            yield LayerShards(layer, tables)

    def _read(self, place: tuple[int, View]) -> Tensor:
        layer, view = place
        return copy_to(self._checkpoint.rows(view, layer), self._device)  # (neurons, width)

    def _map_view(self, layer: int, view: View, rows: Tensor) -> dict[str, bytes]:
        """The shards of one view of a layer, from its rows `(neurons, width)`."""
        recipe, norm = self._recipe, torch.linalg.vector_norm(rows, dim=1)
        decoded, outcome = self._decoder.decode(rows, recipe.top_k, recipe.bottom_k)
        started = time.monotonic()
        thresholds = self._thresholds(rows, seed=layer * len(View) + code(view))
        seconds_of_control = time.monotonic() - started
        labels: list[pa.Table] = []
        figures: list[Figures] = []
        for lens in recipe.lenses:
            strength = thresholds[lens].strength(reach(decoded[lens]).furthest)
            odd = odd_share(decoded[lens].top.ids, self._odd_tokens)
            labels.append(label_rows(layer, view, lens, norm, decoded[lens], strength, odd))
            figures.append(layer_figures(layer, view, lens, thresholds[lens], strength))
        account = {"device": self._device.type, "precision": self._decoder.precision} | _counts(outcome)
        return {
            view_table("neighbour", view): encode_shard(neighbour_rows(layer, view, rows, self._decoder.bound)),
            view_table(CONTROL, view): figures_shard(figures, seconds_of_control),
            view_table("label", view): encode_shard(pa.concat_tables(labels), account),
        }

    def _thresholds(self, rows: Tensor, seed: int) -> dict[Lens, Thresholds]:
        """The thresholds of noise for labels of `rows` `(neurons, width)`, from control rows decoded likewise."""
        control = self._decoder.ends(mixtures(rows, seed))
        return {lens: Thresholds.of(reach(decoded)) for lens, decoded in control.items()}


def _counts(outcome: BatchOutcome) -> dict[str, str | int]:
    """What the labels of one view of a layer rest on."""
    return {
        "rows": outcome.rows,
        "left_to_fp32": outcome.left_to_fp32,
        "rounded": outcome.rounded,
        "checked": outcome.checked,
        "differed": outcome.differed,
    }
