"""Single tensors from safetensors files, sharded or not, without building a model.

A reader gives a tensor's fp32 values, in transformers' layout, by name. Knows nothing of layers or families.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open

from worker.checkpoints.quantised import MEND, Quantisation, is_of_activations, parts_of_parameters
from worker.checkpoints.quantised.method import UnreadableWeight
from worker.checkpoints.shards import file_of_tensors, readable
from worker.errors import CheckpointError

PIECE = 2**23  # values converted at a time
READ_AS_STORED = {"F64", "F32", "F16", "BF16"}  # types whose values need no scales


class TensorReader(Protocol):
    """A reader of single tensors by name."""

    @property
    def files(self) -> list[Path]:
        """The files that hold the tensors."""
        ...

    @property
    def dtype(self) -> str:
        """The stored precision."""
        ...

    @property
    def quantised(self) -> bool:
        """Whether any weight is quantised by a method that the configuration names."""
        ...

    def has(self, name: str) -> bool:
        """Whether the checkpoint has the tensor."""
        ...

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:
        """Read a tensor in fp32; with `as_stored`, one that is stored in bf16 stays so.

        Raises:
            CheckpointError: the tensor is missing or unreadable.
        """
        ...


class SafetensorsFolder:
    """The tensors of a folder: those that its index lists, else those of model.safetensors; other files are ignored.

    Args:
        folder: the folder.
        quantisation: how its quantised weights are read; None if it must not have any.
    """

    def __init__(self, folder: Path, quantisation: Quantisation | None = None) -> None:
        self._file_of = file_of_tensors(folder)
        self.files = sorted(set(self._file_of.values()))
        self._refuse_unmerged()
        self._parts = parts_of_parameters(self._file_of)
        self._quantisation = quantisation
        if self._parts and quantisation is None:
            part = min(
                name for parts in self._parts.values() for name in parts.values() if not name.endswith(".weight")
            )
            raise CheckpointError(
                f"{self._file_of[part]} holds {part!r}: its weights are quantised, and its configuration does not say "
                f"how. {MEND}"
            )
        self.dtype = quantisation.name if quantisation and self._parts else self._stored_dtype()

    def _refuse_unmerged(self) -> None:
        """Refuse weights that have an adapter among them, which no plain model applies."""
        part = min((name for name in self._file_of if ".lora_" in name), default=None)
        if part:
            raise CheckpointError(
                f"{self._file_of[part]} holds {part!r}: an adapter that is not merged. Merge it with peft's "
                "merge_and_unload, save the model, and give that folder."
            )

    def _stored_dtype(self) -> str:
        name = max(self._file_of, key=lambda key: ("mlp" in key, key))
        with safe_open(self._file_of[name], "pt") as tensors:
            return str(tensors.get_slice(name).get_dtype()).lower()

    @property
    def quantised(self) -> bool:
        """Whether any weight is quantised."""
        return bool(self._parts)

    @property
    def parameters(self) -> list[str]:
        """The stored names of all parameters of the model."""
        parts = {name for stored in self._parts.values() for name in stored.values()}
        plain = [name for name in self._file_of if name not in parts and not is_of_activations(name)]
        return [*plain, *self._parts]

    def has(self, name: str) -> bool:
        return self._key(name) is not None

    def _key(self, name: str) -> str | None:
        """The stored name of a tensor; checkpoints of the body alone (`h.0...`, `layers.0...`) leave out its name."""
        bare = name.partition(".")[2]
        return next((key for key in (name, bare) if key in self._file_of or key in self._parts), None)

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:
        key = self._key(name)
        if key is None:
            raise CheckpointError(
                f"The checkpoint has no tensor {name!r}. Is it complete, and of the family it claims?"
            )
        return self._dequantise(key) if key in self._parts else self._read_plain(key, as_stored)

    def _dequantise(self, key: str) -> torch.Tensor:
        """The values of a quantised weight, `(out, in)` in fp32."""
        assert self._quantisation is not None
        stored = {part: self._read_part(name) for part, name in self._parts[key].items()}
        try:
            return self._quantisation.dequantise(key.removesuffix(".weight"), stored)
        except UnreadableWeight as error:
            file = self._file_of[next(iter(self._parts[key].values()))]
            raise CheckpointError(f"{file}: {key} cannot be read: {error}. {MEND}") from error

    def _read_part(self, name: str) -> torch.Tensor:
        """A tensor as it is stored."""
        file = self._file_of[name]
        with readable(file), safe_open(file, "pt") as tensors:
            part: torch.Tensor = tensors.get_tensor(name)
            return part

    def _read_plain(self, key: str, as_stored: bool) -> torch.Tensor:
        file = self._file_of[key]
        with readable(file), safe_open(file, "pt") as tensors:
            shape, kind = tensors.get_slice(key).get_shape(), tensors.get_slice(key).get_dtype()
            if kind not in READ_AS_STORED:
                raise CheckpointError(f"{file} stores {key!r} as {kind}, which has no values by itself. {MEND}")
            if len(shape) != 2:
                whole: torch.Tensor = tensors.get_tensor(key)
                return whole.float()
            rows, width = shape
            stored_dtype = tensors.get_slice(key)[:1].dtype
        keep_bf16 = as_stored and stored_dtype is torch.bfloat16
        tensor = torch.empty(rows, width, dtype=stored_dtype if keep_bf16 else torch.float32)
        for part in pieces(rows, width):
            # Opened again for each piece: pages read of a memory-mapped file count as memory until it is closed.
            with readable(file), safe_open(file, "pt") as tensors:
                tensor[part] = tensors.get_slice(key)[part]
        return tensor


def pieces(rows: int, width: int) -> Iterator[slice]:
    """Slices of a matrix's rows, about PIECE values each: to convert all at once takes several times its memory."""
    size = max(1, PIECE // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
