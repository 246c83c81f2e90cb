"""Map one model from checkpoint to shards: have missing layers mapped, write each as it comes, report progress.

Knows shards and progress; knows nothing of how an engine maps layers, nor of the label file.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Protocol

import torch

from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.vocabulary import Vocabulary
from worker.mapping.label_rows import token_rows
from worker.mapping.layers import LayerMapper, LayerShards
from worker.mapping.recipe import MapRecipe as MapRecipe
from worker.mapping.shards import ShardFolder


@dataclass(frozen=True)
class Progress:
    """How far the mapping of a model is; `seconds` are those since it began."""

    model: str
    layers_done: int
    layers: int
    neurons_done: int
    seconds: float


@dataclass(frozen=True)
class MappedModel:
    """A model whose shards are written: of all layers, or of the part that the recipe names."""

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
    def search_rows(self) -> int:
        """The number of tokens in all labels of the model, which are its rows in searches."""
        labels = len(self.layers) * self.checkpoint.neurons * len(self.recipe.views) * len(self.recipe.lenses)
        return labels * (self.recipe.top_k + self.recipe.bottom_k)

    def record(self) -> dict[str, str | int | float | bool | None]:
        """The model's row in the label file, without the ids that the file gives."""
        checkpoint, account = self.checkpoint, self.shards.account("label", self.layers)
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
    """Decode every neuron of the recipe's layers into shards, skipping layers that are done.

    Raises:
        CheckpointError: a tensor is missing, damaged or of the wrong shape.
        LabelFileError: the disk is full.
    """
    started = time.monotonic()
    layers = recipe.layers_of(checkpoint)

    def report_layers(done: int) -> None:
        elapsed = time.monotonic() - started
        report(Progress(name, done, len(layers), done * checkpoint.neurons, elapsed))

    shards.open(resume)
    shards.write("token", 0, token_rows(vocabulary))
    missing = [layer for layer in layers if not shards.has("label", layer)]
    if len(missing) < len(layers):
        report_layers(len(layers) - len(missing))
    if missing:
        mapped = engine(checkpoint, vocabulary, recipe, missing)
        for done, layer in enumerate(mapped, len(layers) - len(missing) + 1):
            for table, content in layer.tables.items():
                shards.put(table, layer.layer, content)
            report_layers(done)
    return MappedModel(name, checkpoint, vocabulary, recipe, shards, time.monotonic() - started)
