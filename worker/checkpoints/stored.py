"""The protocol of a model on disk, which a folder and a GGUF file both implement."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerFast

from worker.checkpoints.weights import TensorReader

if TYPE_CHECKING:  # importing it takes longer than the rest of transformers
    from transformers import PreTrainedModel

LoadProgress: TypeAlias = Callable[[float], None]  # called with the share that is loaded, from 0 to 1


def no_progress(_: float) -> None:
    """Report no progress."""


class StoredModel(Protocol):
    """A model on this disk."""

    @property
    def config(self) -> PreTrainedConfig:
        """The model's configuration.

        Raises:
            CheckpointError: the configuration cannot be read.
        """
        ...

    @property
    def tensors(self) -> TensorReader:
        """A reader of single tensors.

        Raises:
            CheckpointError: the model has no tensors that can be read.
        """
        ...

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The model's fast tokenizer.

        Raises:
            CheckpointError: the model has no fast tokenizer.
        """
        ...

    def model(self, dtype: torch.dtype, progress: LoadProgress) -> "PreTrainedModel":
        """Load the live model on the CPU.

        Raises:
            CheckpointError: the model cannot be built.
        """
        ...
