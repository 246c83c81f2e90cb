"""One model from checkpoint to shards: what is missing is mapped, written as it comes, and told.

Knows shards and progress; knows nothing of where layers are mapped, nor of the label file they end in.
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
from worker.mapping.recipe import Recipe as Recipe
from worker.mapping.shards import ShardFolder


@dataclass(frozen=True)
class Progress:
    """One layer done, or the whole."""

    model: str
    layers_done: int
    layers: int
    neurons_done: int
    seconds: float


@dataclass(frozen=True)
class Mapped:
    """A model whose layers have their shards: all of them, or the part that the recipe names."""

    name: str
    checkpoint: Checkpoint
    vocabulary: Vocabulary
    recipe: Recipe
    shards: ShardFolder
    seconds: float
    versions: dict[str, str] = field(
        default_factory=lambda: {name: version(name) for name in ("neuronym", "torch", "transformers", "gguf")}
    )

    @property
    def layers(self) -> range:
        """Those that are mapped."""
        return self.recipe.mapped(self.checkpoint)

    @property
    def search_rows(self) -> int:
        """How many tokens all its labels have."""
        labels = len(self.layers) * self.checkpoint.neurons * len(self.recipe.views) * len(self.recipe.lenses)
        return labels * (self.recipe.top_k + self.recipe.bottom_k)

    def record(self) -> dict[str, str | int | float | bool | None]:
        """The model's row in the label file, but for the ids it gets there."""
        checkpoint, account = self.checkpoint, self.shards.account("label", self.layers)
        return {
            "name": self.name,
            "source": checkpoint.source.spec,
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
    """Where layers are mapped."""

    def __call__(
        self, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: Recipe, layers: Sequence[int]
    ) -> Iterator[LayerShards]:
        """The layers, each once, in any order.

        Raises:
            CheckpointError: a tensor is missing, damaged or of the wrong shape.
        """
        ...


@dataclass(frozen=True)
class Here:
    """In this process, on one device."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __call__(
        self, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: Recipe, layers: Sequence[int]
    ) -> Iterator[LayerShards]:
        """The layers in turn."""
        return LayerMapper(checkpoint, vocabulary, recipe, self.device).run(layers)


def map_model(
    name: str,
    checkpoint: Checkpoint,
    vocabulary: Vocabulary,
    recipe: Recipe,
    shards: ShardFolder,
    engine: Engine,
    resume: bool = True,
    report: Callable[[Progress], None] = lambda _: None,
) -> Mapped:
    """Decode every neuron of the recipe's layers into shards, skipping layers that are done.

    Raises:
        CheckpointError: a tensor is missing, damaged or of the wrong shape.
        LabelFileError: the disk is full.
    """
    started = time.monotonic()
    layers = recipe.mapped(checkpoint)

    def tell(done: int) -> None:
        elapsed = time.monotonic() - started
        report(Progress(name, done, len(layers), done * checkpoint.neurons, elapsed))

    shards.open(resume)
    shards.write("token", 0, token_rows(vocabulary))
    missing = [layer for layer in layers if not shards.has("label", layer)]
    if len(missing) < len(layers):
        tell(len(layers) - len(missing))
    if missing:
        found = engine(checkpoint, vocabulary, recipe, missing)
        for done, layer in enumerate(found, len(layers) - len(missing) + 1):
            for table, content in layer.tables.items():
                shards.put(table, layer.layer, content)
            tell(done)
    return Mapped(name, checkpoint, vocabulary, recipe, shards, time.monotonic() - started)
