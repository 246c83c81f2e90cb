"""Checkpoints: shape, MLP weights and head read tensor by tensor, tokenizer, and the live model on demand.

Knows the families; knows nothing of lenses, label files or clamps.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from neuronym.contract import View
from worker.checkpoints.adapter import Adapter, open_adapter
from worker.checkpoints.adapter_tokenizer import read_adapter_tokenizer
from worker.checkpoints.claims import check_adapter, check_layers, check_layout, find_family
from worker.checkpoints.families import Family
from worker.checkpoints.folder import FolderModel
from worker.checkpoints.gguf_file import GGUFModel
from worker.checkpoints.norms import read_gain
from worker.checkpoints.sources import Source, resolve
from worker.checkpoints.stored import LoadProgress, StoredModel, no_progress
from worker.checkpoints.vocabulary import Vocabulary, read_vocabulary
from worker.checkpoints.weights import TensorReader
from worker.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SAMPLE = 64  # rows of a matrix that `_check_same` compares


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint. Weights come as fp32 on the CPU, in `(neurons, width)` whatever the file's layout."""

    source: Source
    stored: StoredModel = field(repr=False)
    family: Family
    adapter: Adapter | None = None

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def config(self) -> PreTrainedConfig:
        return self.stored.config

    @property
    def reader(self) -> TensorReader:
        return self.stored.tensors

    @property
    def architecture(self) -> str:
        return str(self.config.model_type)

    @property
    def layers(self) -> int:
        return int(self.config.num_hidden_layers)

    @property
    def width(self) -> int:
        return int(self.config.hidden_size)

    @cached_property
    def neurons(self) -> int:
        """Neurons a layer: four times the width where the configuration leaves it out, as GPT-2's does."""
        size = getattr(self.config, "intermediate_size", None) or getattr(self.config, "n_inner", None)
        return int(size or 4 * self.width)

    @property
    def views(self) -> list[View]:
        return [view for view in View if view is not View.gate or self.family.gated]

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding: the configuration says so, and the files hold no head."""
        return bool(self.config.tie_word_embeddings) and not self.reader.has(f"{self.family.head}.weight")

    def rows(self, view: View, layer: int) -> torch.Tensor:
        """The weight vector of each neuron of a layer as the residual stream meets it, `(neurons, width)`.

        In a family with a norm after the MLP, a neuron's output passes it, so its gain is multiplied in.

        Raises:
            CheckpointError: the tensor is missing, of the wrong shape, or not finite.
        """
        rows = self.stored_rows(view, layer)
        if view is not View.down or self.family.norm_after is None:
            return rows
        return rows * read_gain(self.reader, self.family, layer, self.family.norm_after, self.width)

    def input_gain(self, layer: int) -> torch.Tensor:
        """The gain of the norm through which a layer's `up` and `gate` read the stream, `(width,)`.

        Raises:
            CheckpointError: the tensor is missing, of the wrong shape, or not finite.
        """
        return read_gain(self.reader, self.family, layer, self.family.norm_before, self.width)

    def stored_rows(self, view: View, layer: int) -> torch.Tensor:
        """The weight vector of each neuron of a layer as stored, adapter merged, `(neurons, width)`.

        Raises:
            CheckpointError: the tensor is missing, of the wrong shape, or not finite.
        """
        name = f"{self.family.layers_path}.{layer}.{self.family.projection(view)}"
        weight = self._weight(name)
        stored_as_columns = (view is View.down) != self.family.transposed
        rows = weight.T.contiguous() if stored_as_columns else weight  # (neurons, width)
        return _checked(rows, (self.neurons, self.width), name)

    def _weight(self, module: str) -> torch.Tensor:
        weight = self.reader.read(f"{module}.weight")
        return self.adapter.merge(module, weight) if self.adapter else weight

    def head(self, as_stored: bool = False) -> torch.Tensor:
        """The LM head, `(vocab, width)`; the embedding where they are tied.

        Args:
            as_stored: keep bf16 if the file stores bf16; otherwise the head is fp32.

        Raises:
            CheckpointError: the tensor is missing, of the wrong shape, or not finite.
        """
        module = self.family.embedding if self.tied else self.family.head
        weight = self.reader.read(f"{module}.weight", as_stored)  # adapters of heads are refused
        return _checked(weight, (int(self.config.vocab_size), self.width), module)

    @cached_property
    def source_hash(self) -> str:
        """The SHA-256 of the weight files, in order, and the adapter."""
        digest = hashlib.sha256()
        for path in self.reader.files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        if self.adapter:
            digest.update(self.adapter.fingerprint().encode())
        return digest.hexdigest()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The checkpoint's fast tokenizer; an adapter may bring its own.

        Raises:
            CheckpointError: the checkpoint has no fast tokenizer, or the adapter brings one that does not fit the head.
        """
        if self.adapter is None:
            return self.stored.tokenizer()
        return read_adapter_tokenizer(self.adapter.folder, self.config, self.stored.tokenizer)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokenizer's entries as text.

        Raises:
            CheckpointError: the checkpoint has no fast tokenizer.
        """
        return read_vocabulary(self.tokenizer)

    def load(
        self, device: torch.device, dtype: torch.dtype, progress: LoadProgress = no_progress
    ) -> tuple["PreTrainedModel", PreTrainedTokenizerFast]:
        """Load the live model, in evaluation mode and with its adapter merged; return it with its tokenizer.

        Raises:
            CheckpointError: the model cannot be built.
        """
        model = self.stored.model(dtype, progress)
        model.requires_grad_(False).train(False)
        self._check_same(model)
        if self.adapter:
            for name in self.adapter.modules:
                weight = model.get_submodule(name).get_parameter("weight")
                weight.copy_(self.adapter.merge(name, weight.float()))
        torch.nn.Module.to(model, device)  # transformers' own `to` is typed as taking a model
        return model, self.tokenizer

    def _check_same(self, model: "PreTrainedModel") -> None:
        """Refuse a live model whose last layer or head differs from the weights that labels are made from.

        Raises:
            CheckpointError: transformers has read other weights than `reader`.
        """
        last = f"{self.family.layers_path}.{self.layers - 1}."
        modules = [last + self.family.up, last + self.family.down]
        live = {name: model.get_parameter(f"{name}.weight") for name in modules}
        live["the head"] = model.get_output_embeddings().weight  # type: ignore[no-untyped-call]
        expected = {name: self.reader.read(f"{name}.weight") for name in modules}
        expected["the head"] = self.head(as_stored=True)
        for name, weight in live.items():
            if not torch.equal(weight[:SAMPLE].cpu(), expected[name][:SAMPLE].to(weight.dtype)):
                raise CheckpointError(
                    f"{self.source.spec} is read in two ways that differ in {name}: clamps would be on another model "
                    "than the one that is named. Is there a second set of weights beside it?"
                )


def open_checkpoint(spec: str) -> Checkpoint:
    """Open the checkpoint that `spec` names: `demo`, a folder, a GGUF file, or a hub id with an optional `@revision`.

    Raises:
        CheckpointError: the checkpoint cannot be found or read, or its architecture is not known.
    """
    source = resolve(spec)
    stored: StoredModel = (
        GGUFModel(source.folder / source.gguf) if source.gguf else FolderModel(source.spec, source.folder)
    )
    family = find_family(source.spec, stored.config)
    check_layers(source.spec, family, stored)
    check_layout(source.spec, family, stored)
    if source.adapter is None:
        return Checkpoint(source, stored, family)
    adapter = open_adapter(source.adapter, family.transposed)
    check_adapter(source.spec, family, stored, adapter)
    return Checkpoint(source, stored, family, adapter)


def _checked(weight: torch.Tensor, shape: tuple[int, ...], name: str) -> torch.Tensor:
    if tuple(weight.shape) != shape:
        raise CheckpointError(f"{name} has shape {tuple(weight.shape)}, but the configuration says {shape}.")
    if not torch.isfinite(torch.stack(weight.aminmax())).all():  # no copy of it, as isfinite of the whole would take
        raise CheckpointError(
            f"{name} holds values that are not finite (NaN or infinity): the checkpoint is damaged. Download it again."
        )
    return weight
