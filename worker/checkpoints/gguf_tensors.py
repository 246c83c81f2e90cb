"""The tensors of GGUF files by transformers' names, in its layout and values: for labels and live models alike."""

from collections.abc import Iterable

import gguf
import numpy as np
import torch
from transformers import PreTrainedConfig

from worker.checkpoints.gguf_architectures import ROPE_FACTORS, architecture_of
from worker.checkpoints.gguf_header import GGUFHeader, PackedTensor
from worker.checkpoints.shards import readable
from worker.checkpoints.weights import pieces
from worker.errors import CheckpointError


class GGUFTensors:
    """The tensors of a GGUF file or of all parts of a model, by transformers' names; unpacked as they are read."""

    quantised = False  # not by a method of transformers: the file's own packing has one layout a family

    def __init__(self, header: GGUFHeader, config: PreTrainedConfig) -> None:
        self.files = list(header.files)
        self._header = header
        self._config = config
        self._architecture = architecture_of(header)
        kinds = [packed.kind.name for name, packed in header.tensors.items() if "ffn_up" in name]
        self.dtype = kinds[0].lower() if kinds else "unknown"

    def name(self, parameter: str) -> str:
        """The file's name of a parameter."""
        return self._architecture.name(parameter)

    def has(self, name: str) -> bool:
        return self.name(name) in self._header.tensors

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:  # noqa: ARG002  (packed: never bf16)
        key = self.name(name)
        if key not in self._header.tensors:
            raise CheckpointError(f"{self.files[0].name} has no tensor {key!r}. Is the file complete?")
        packed = self._header.tensors[key]
        try:
            return self._architecture.restore(key, self._unpack(packed), self._config)
        except RuntimeError as error:
            raise CheckpointError(
                f"{packed.file.name}: {key} has shape {packed.shape}, which is not what its settings say. "
                "Download it again."
            ) from error

    def factors(self) -> torch.Tensor | None:
        """The factors of the rotary wavelengths, `(head / 2,)`, or None if the file has none."""
        packed = self._header.tensors.get(ROPE_FACTORS) if self._architecture.factors else None
        return self._unpack(packed) if packed else None

    def unused(self, parameters: Iterable[str]) -> list[str]:
        """The tensors of the files that are none of `parameters`."""
        used = {self.name(parameter) for parameter in parameters}
        if self._architecture.factors:
            used.add(ROPE_FACTORS)
        return [name for name in self._header.tensors if name not in used]

    def _unpack(self, packed: PackedTensor) -> torch.Tensor:
        """Unpack a tensor to fp32, in the file's layout."""
        tensor = torch.empty(packed.rows, packed.shape[-1])  # (rows, width)
        shape = (packed.rows, packed.row_bytes)
        with readable(packed.file):
            # Mapped anew for each tensor: pages read of a mapped file count as memory for as long as it is mapped.
            data = np.memmap(packed.file, np.uint8, "c", packed.offset, shape)
            for part in pieces(packed.rows, packed.shape[-1]):
                tensor[part] = torch.from_numpy(gguf.quants.dequantize(data[part], packed.kind))
        return tensor.reshape(packed.shape)
