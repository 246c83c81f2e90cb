"""What a checkpoint is stored in, as far as a checkpoint needs to know: a folder and a GGUF file answer alike."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from worker.checkpoints.weights import TensorReader

Progress: TypeAlias = Callable[[float], None]  # told the share that is done, from 0 to 1


def silent(_: float) -> None:
    """Tell nobody."""


class Stored(Protocol):
    """A model on this disk."""

    @property
    def config(self) -> PreTrainedConfig:
        """Its configuration.

        Raises:
            CheckpointError: it cannot be read.
        """
        ...

    @property
    def tensors(self) -> TensorReader:
        """Its tensors, one by one.

        Raises:
            CheckpointError: there are none that can be read.
        """
        ...

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Its fast tokenizer.

        Raises:
            CheckpointError: it has none.
        """
        ...

    def model(self, dtype: torch.dtype, progress: Progress) -> PreTrainedModel:
        """The live model on the CPU.

        Raises:
            CheckpointError: it cannot be built.
        """
        ...
