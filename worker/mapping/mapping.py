"""Map one model from checkpoint to shards: have missing layers mapped, write each as it comes, report progress.

Knows shards and progress; knows nothing of how an engine maps layers, nor of the label file.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import torch

from neuronym.contract import View
from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.vocabulary import Vocabulary
from worker.mapping.label_rows import token_rows
from worker.mapping.layers import LayerMapper, LayerShards
from worker.mapping.recipe import MapRecipe as MapRecipe
from worker.mapping.shards import ShardFolder, read_account, view_table


@dataclass(frozen=True)
class Progress:
    """How far the mapping of a model is; `seconds` are those since it began.

    `views` are those that are being mapped, where not all of the model's; the layers are counted under them alone.
    """

    model: str
    layers_done: int
    layers: int
    neurons_done: int
    seconds: float
    views: tuple[View, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class MappedModel:
    """A model whose shards are written: of all layers and views, or of those that the recipe names."""

    name: str
    checkpoint: Checkpoint
    vocabulary: Vocabulary
    recipe: MapRecipe
    shards: ShardFolder
    seconds: float
    versions: dict[str, str] = field(
        default_factory=lambda: {name: version(name) for name in ("neuronym", "torch", "transformers", "gguf")}
    )

    @property
    def layers(self) -> range:
        """The layers that are mapped."""
        return self.recipe.layers_of(self.checkpoint)

    @property
    def is_part(self) -> bool:
        """Whether some layers or views of the model are not mapped; if they are later, that needs these shards."""
        return self.recipe.layers is not None or set(self.recipe.views) != set(self.checkpoint.views)

    def shard_files(self, table: str) -> list[Path]:
        """The shards of a table, of the views and layers that are mapped."""
        return self.shards.view_shards(table, self.recipe.views, self.layers)

    @property
    def search_rows(self) -> int:
        """The number of tokens in all labels of the model, which are its rows in searches."""
        labels = len(self.layers) * self.checkpoint.neurons * len(self.recipe.views) * len(self.recipe.lenses)
        return labels * (self.recipe.top_k + self.recipe.bottom_k)

    def record(self) -> dict[str, str | int | float | bool | None]:
        """The model's row in the label file, without the ids that the file gives."""
        checkpoint, account = self.checkpoint, read_account(self.shard_files("label"))
        return {
            "name": self.name,
            "source": checkpoint.source.recorded,
            "revision": checkpoint.source.revision,
            "source_hash": checkpoint.source_hash,
            "adapter": str(checkpoint.source.adapter) if checkpoint.source.adapter else None,
            "architecture": checkpoint.architecture,
            "layers": checkpoint.layers,
            "neurons": checkpoint.neurons,
            "width": checkpoint.width,
            "vocab": len(self.vocabulary.entries),
            "gated": checkpoint.family.gated,
            "tied": checkpoint.tied,
            "chat": checkpoint.tokenizer.chat_template is not None,
            "note": checkpoint.source.note,
            "dtype": checkpoint.reader.dtype,
            "device": account.pop("device"),
            "versions": json.dumps(self.versions),
            "settings": json.dumps(self.recipe.record() | account),
            "mapped_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
        }


class Engine(Protocol):
    """Something that maps layers: this process, or a cluster."""

    def __call__(
        self, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: MapRecipe, layers: Sequence[int]
    ) -> Iterator[LayerShards]:
        """Map the layers, each once, in any order.

        Raises:
            CheckpointError: a tensor is missing, damaged or of the wrong shape.
        """
        ...


@dataclass(frozen=True)
class LocalEngine:
    """The engine that maps in this process, on one device."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __call__(
        self, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: MapRecipe, layers: Sequence[int]
    ) -> Iterator[LayerShards]:
        """Map the layers in turn."""
        return LayerMapper(checkpoint, vocabulary, recipe, self.device).run(layers)


def map_model(
    name: str,
    checkpoint: Checkpoint,
    vocabulary: Vocabulary,
    recipe: MapRecipe,
    shards: ShardFolder,
    engine: Engine,
    resume: bool = True,
    report: Callable[[Progress], None] = lambda _: None,
) -> MappedModel:
    """Decode every neuron of the recipe's layers and views into shards, skipping those that are done.

    Raises:
        CheckpointError: a tensor is missing, damaged or of the wrong shape.
        LabelFileError: the disk is full.
    """
    started = time.monotonic()
    layers = recipe.layers_of(checkpoint)
    shards.open(resume)
    shards.write("token", 0, token_rows(vocabulary))
    missing = _missing_layers(recipe, layers, shards)
    at_work = tuple(view for view in recipe.views if any(view in views for views in missing)) or recipe.views
    part = () if set(at_work) == set(checkpoint.views) else at_work

    def report_layers(done: int) -> None:
        elapsed = time.monotonic() - started
        report(Progress(name, done, len(layers), done * checkpoint.neurons, elapsed, views=part))

    done = len(layers) - sum(map(len, missing.values()))
    if done:
        report_layers(done)
    for views, of_these in missing.items():
        for layer in engine(checkpoint, vocabulary, replace(recipe, views=views), of_these):
            for table, content in layer.tables.items():
                shards.put(table, layer.layer, content)
            done += 1
            report_layers(done)
    return MappedModel(name, checkpoint, vocabulary, recipe, shards, time.monotonic() - started)


def _missing_layers(recipe: MapRecipe, layers: range, shards: ShardFolder) -> dict[tuple[View, ...], list[int]]:
    """The layers that lack shards, by the views that they lack."""
    missing: dict[tuple[View, ...], list[int]] = {}
    for layer in layers:
        lacking = tuple(view for view in recipe.views if not shards.has(view_table("label", view), layer))
        if lacking:
            missing.setdefault(lacking, []).append(layer)
    return missing
