"""A model in one GGUF file or several: its configuration, tensors and tokenizer, and the live model made of them."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedConfig, PreTrainedTokenizerFast
from transformers.utils.logging import tqdm

from worker.checkpoints.gguf_config import read_configuration
from worker.checkpoints.gguf_header import GGUFHeader
from worker.checkpoints.gguf_parts import read_model_header
from worker.checkpoints.gguf_tensors import GGUFTensors
from worker.checkpoints.gguf_tokenizer import read_tokenizer
from worker.checkpoints.shape import empty_model
from worker.checkpoints.stored import LoadProgress
from worker.errors import CheckpointError

if TYPE_CHECKING:  # importing it takes longer than the rest of transformers
    from transformers import PreTrainedModel


class GGUFModel:
    """A GGUF file, or the parts that `file` is any of; the header is read once, when it is first needed."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @cached_property
    def _header(self) -> GGUFHeader:
        return read_model_header(self._file)

    @cached_property
    def config(self) -> PreTrainedConfig:
        return read_configuration(self._header)

    @cached_property
    def tensors(self) -> GGUFTensors:
        return GGUFTensors(self._header, self.config)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        return read_tokenizer(self._header)

    def model(self, dtype: torch.dtype, progress: LoadProgress) -> "PreTrainedModel":
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING  # only here: it is most of transformers

        parameters = dict(empty_model(self.config, dtype).named_parameters())  # tied parameters once
        self._check(parameters)
        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(self.config)]
        values = self._read(parameters, dtype, progress)
        model: PreTrainedModel = kind.from_pretrained(None, config=self.config, state_dict=values, dtype=dtype)
        factors = self.tensors.factors()
        if factors is not None:
            _scale_wavelengths(model, factors)
        return model

    def _check(self, parameters: Mapping[str, torch.Tensor]) -> None:
        """Refuse a file that lacks one of the model's parameters, or has a tensor that is none of them."""
        name = self._header.file.name
        missing = [parameter for parameter in parameters if not self.tensors.has(parameter)]
        if missing:
            raise CheckpointError(f"{name} has no tensor {self.tensors.name(missing[0])!r}. Is the file complete?")
        unused = self.tensors.unused(parameters)
        if unused:
            raise CheckpointError(
                f"{name} has the tensor {unused[0]!r}, which a {self.config.model_type} model has no place for. "
                "Give the folder or hub id that the file was made from."
            )

    def _read(
        self, parameters: Mapping[str, torch.Tensor], dtype: torch.dtype, progress: LoadProgress
    ) -> dict[str, torch.Tensor]:
        """Read the values of all parameters."""
        values = {}
        for done, name in enumerate(tqdm(parameters, desc=f"Reading {self._header.file.name}"), 1):
            value = self.tensors.read(name).to(dtype).contiguous()
            if value.shape != parameters[name].shape:
                raise CheckpointError(
                    f"{self._header.file.name}: {self.tensors.name(name)} has shape {tuple(value.shape)}, but its "
                    f"settings say {tuple(parameters[name].shape)}. Download it again."
                )
            values[name] = value
            progress(done / len(parameters))
        return values


def _scale_wavelengths(model: "PreTrainedModel", factors: torch.Tensor) -> None:
    """Multiply the rotary wavelengths by `factors` `(head / 2,)`: GGUF's form of Llama 3's scaling for long texts."""
    rotary = model.get_submodule("model.rotary_emb")
    for name in ("inv_freq", "original_inv_freq"):
        frequencies = rotary.get_buffer(name)
        if frequencies.shape != factors.shape:
            raise CheckpointError(
                f"rope_freqs.weight has shape {tuple(factors.shape)}, but the model turns {len(frequencies)} pairs. "
                "Download the file again."
            )
        frequencies.div_(factors)
