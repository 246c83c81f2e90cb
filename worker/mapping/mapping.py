"""The loop over layers: read rows, decode them, write a shard, say how far it is. Resumes where it was cut off.

Knows checkpoints, lenses and shards; knows nothing of the label file they end in.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

import pyarrow as pa
import torch

from app.contract import Lens, View
from app.schema import code
from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.vocabulary import Vocabulary
from worker.errors import CheckpointError
from worker.mapping.label_rows import label_rows, neighbour_rows, token_rows
from worker.mapping.noise_level import layer_figures, write_figures
from worker.mapping.shards import ShardFolder
from worker.naming.control import CONTROLS, Thresholds, mixtures, reach
from worker.naming.decoder import Decoder, Outcome, Precision
from worker.naming.lens import Head
from worker.naming.odd_tokens import odd_share, odd_tokens


@dataclass(frozen=True)
class Recipe:
    """What is computed, recorded with the model and part of a resumed run's identity."""

    views: tuple[View, ...] = tuple(View)
    lenses: tuple[Lens, ...] = tuple(Lens)
    top_k: int = 20
    bottom_k: int = 10
    gain: str = "none"  # norm gain folded into the rows
    precision: Precision = "auto"  # what was asked; what was done is recorded with the model

    def of(self, checkpoint: Checkpoint) -> "Recipe":
        """The same with the views this checkpoint has."""
        views = tuple(view for view in self.views if view in checkpoint.views)
        if not views:
            raise CheckpointError(f"{checkpoint.name} has no gate: its views are {', '.join(checkpoint.views)}.")
        return Recipe(views, self.lenses, self.top_k, self.bottom_k, self.gain, self.precision)

    def record(self) -> dict[str, str | int | list[str]]:
        """As it is kept in the label file."""
        return {
            "views": [str(view) for view in self.views],
            "lenses": [str(lens) for lens in self.lenses],
            "top_k": self.top_k,
            "bottom_k": self.bottom_k,
            "gain": self.gain,
            "precision": self.precision,
            "controls": CONTROLS,
        }


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
    """A model whose every layer has its shards."""

    name: str
    checkpoint: Checkpoint
    vocabulary: Vocabulary
    recipe: Recipe
    shards: ShardFolder
    seconds: float
    device: str
    versions: dict[str, str] = field(
        default_factory=lambda: {name: version(name) for name in ("neuronym", "torch", "transformers", "gguf")}
    )

    def record(self) -> dict[str, str | int | float | bool | None]:
        """The model's row in the label file, but for the ids it gets there."""
        checkpoint = self.checkpoint
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
            "device": self.device,
            "versions": json.dumps(self.versions),
            "settings": json.dumps(self.recipe.record() | self.shards.account("label")),
            "mapped_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
        }


def map_model(
    name: str,
    checkpoint: Checkpoint,
    vocabulary: Vocabulary,
    recipe: Recipe,
    shards: ShardFolder,
    resume: bool = True,
    report: Callable[[Progress], None] = lambda _: None,
) -> Mapped:
    """Decode every neuron of a checkpoint into shards, skipping layers that are done.

    Raises:
        CheckpointError: a tensor is missing, damaged or of the wrong shape.
    """
    started = time.monotonic()
    shards.open(resume)
    shards.write("token", 0, token_rows(vocabulary))
    tools: _Tools | None = None
    for layer in range(checkpoint.layers):
        if not shards.has("label", layer):
            tools = tools or _tools(checkpoint, vocabulary, recipe)
            _map_layer(checkpoint, layer, tools, recipe, shards)
        done = layer + 1
        elapsed = time.monotonic() - started
        report(Progress(name, done, checkpoint.layers, done * checkpoint.neurons, elapsed))
    return Mapped(name, checkpoint, vocabulary, recipe, shards, time.monotonic() - started, "cpu")


@dataclass(frozen=True)
class _Tools:
    """What every layer of a model is mapped with."""

    decoder: Decoder
    odd: torch.Tensor  # which token ids make a poor name

    def thresholds(self, rows: torch.Tensor, seed: int) -> dict[Lens, Thresholds]:
        """Where noise ends among `rows` `(neurons, width)`, from control rows decoded as they are."""
        control, _ = self.decoder.decode(mixtures(rows, seed), top_k=2, bottom_k=1)
        return {lens: Thresholds.of(reach(decoded)) for lens, decoded in control.items()}


def _tools(checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: Recipe) -> _Tools:
    weight = checkpoint.head()
    ids = [id_ for id_ in vocabulary.ids if id_ < len(weight)]
    head = Head(weight, torch.tensor(ids))
    sample = checkpoint.rows(recipe.views[0], checkpoint.layers // 2)[:256]
    return _Tools(Decoder(head, recipe.precision, sample, recipe.lenses), odd_tokens(head, vocabulary))


def _map_layer(checkpoint: Checkpoint, layer: int, tools: _Tools, recipe: Recipe, shards: ShardFolder) -> None:
    """One layer's shards; the label shard last, because it says that the layer is done."""
    labels, neighbours, outcomes, figures = [], [], [], []
    spent = 0.0  # seconds on the control
    for view in recipe.views:
        rows = checkpoint.rows(view, layer)  # (neurons, width)
        norm = torch.linalg.vector_norm(rows, dim=1)
        decoded, outcome = tools.decoder.decode(rows, recipe.top_k, recipe.bottom_k)
        started = time.monotonic()
        thresholds = tools.thresholds(rows, seed=layer * len(View) + code(view))
        spent += time.monotonic() - started
        for lens in recipe.lenses:
            strength = thresholds[lens].strength(reach(decoded[lens]).furthest)
            odd = odd_share(decoded[lens].top.ids, tools.odd)
            labels.append(label_rows(layer, view, lens, norm, decoded[lens], strength, odd))
            figures.append(layer_figures(layer, view, lens, thresholds[lens], strength))
        neighbours.append(neighbour_rows(layer, view, rows))
        outcomes.append(outcome)
    shards.write("neighbour", layer, pa.concat_tables(neighbours))
    write_figures(shards, layer, figures, spent)
    shards.write("label", layer, pa.concat_tables(labels), _account(tools.decoder.precision, outcomes))


def _account(precision: str, outcomes: Sequence[Outcome]) -> dict[str, str | int]:
    """What a layer's labels rest on."""
    return {
        "precision": precision,
        "rows": sum(outcome.rows for outcome in outcomes),
        "left_to_fp32": sum(outcome.left_to_fp32 for outcome in outcomes),
        "checked": sum(outcome.checked for outcome in outcomes),
        "differed": sum(outcome.differed for outcome in outcomes),
    }
