"""The tensors of a GGUF file in transformers' names, layout and values. Labels and live models read them alike."""

from collections.abc import Iterable

import gguf
import numpy as np
import torch
from transformers import PreTrainedConfig

from worker.checkpoints.gguf_architectures import ROPE_FACTORS, architecture_of
from worker.checkpoints.gguf_header import Header, Packed
from worker.checkpoints.weights import pieces, readable
from worker.errors import CheckpointError


class GGUFTensors:
    """The tensors of a GGUF file, by transformers' names; unpacked as they are read."""

    def __init__(self, header: Header, config: PreTrainedConfig) -> None:
        self.files = [header.file]
        self._header = header
        self._config = config
        self._architecture = architecture_of(header)
        kinds = [packed.kind.name for name, packed in header.tensors.items() if "ffn_up" in name]
        self.dtype = kinds[0].lower() if kinds else "unknown"

    def name(self, parameter: str) -> str:
        """What the file calls a parameter."""
        return self._architecture.name(parameter)

    def has(self, name: str) -> bool:
        return self.name(name) in self._header.tensors

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:  # noqa: ARG002  (packed: never bf16)
        key = self.name(name)
        if key not in self._header.tensors:
            raise CheckpointError(f"{self.files[0].name} has no tensor {key!r}. Is the file complete?")
        packed = self._header.tensors[key]
        try:
            return self._architecture.restored(key, self._unpacked(packed), self._config)
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.files[0].name}: {key} has shape {packed.shape}, which is not what its settings say. "
                "Download it again."
            ) from error

    def factors(self) -> torch.Tensor | None:
        """What the rotary wavelengths are multiplied by, `(head / 2,)`, if the file says."""
        packed = self._header.tensors.get(ROPE_FACTORS) if self._architecture.factors else None
        return self._unpacked(packed) if packed else None

    def unused(self, parameters: Iterable[str]) -> list[str]:
        """Tensors of the file that are none of these parameters."""
        used = {self.name(parameter) for parameter in parameters}
        if self._architecture.factors:
            used.add(ROPE_FACTORS)
        return [name for name in self._header.tensors if name not in used]

    def _unpacked(self, packed: Packed) -> torch.Tensor:
        """A tensor in fp32, in the file's layout."""
        tensor = torch.empty(packed.rows, packed.shape[-1])  # (rows, width)
        shape = (packed.rows, packed.row_bytes)
        with readable(self.files[0]):
            # Mapped anew: what was read of a mapped file counts as memory for as long as it is mapped.
            data = np.memmap(self.files[0], np.uint8, "c", packed.offset, shape)
            for part in pieces(packed.rows, packed.shape[-1]):
                tensor[part] = torch.from_numpy(gguf.quants.dequantize(data[part], packed.kind))
        return tensor.reshape(packed.shape)
