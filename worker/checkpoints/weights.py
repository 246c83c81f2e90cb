"""Single tensors from safetensors (sharded or not) and GGUF files, without building a model.

A reader maps a tensor's name to fp32 values in transformers' layout. It knows nothing of layers or families.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import gguf
import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from worker.errors import CheckpointError

PIECE = 2**23  # values converted at a time


class TensorReader(Protocol):
    """Reads tensors by name."""

    @property
    def files(self) -> list[Path]:
        """The files read from."""
        ...

    @property
    def dtype(self) -> str:
        """The stored precision."""
        ...

    def has(self, name: str) -> bool:
        """Whether the tensor is there."""
        ...

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:
        """The matrix in fp32, or in bf16 if it is stored so and `as_stored` asks for that.

        Raises:
            CheckpointError: it is missing or unreadable.
        """
        ...


class SafetensorsFolder:
    """The safetensors files of a folder, as one set of tensors."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.safetensors"))
        if not self.files:
            raise CheckpointError(_no_weights(folder))
        self._where: dict[str, Path] = {}
        for file in self.files:
            with _readable(file), safe_open(file, "pt") as tensors:
                self._where |= dict.fromkeys(tensors.keys(), file)
        _check_index(folder, self._where)
        self.dtype = self._stored_dtype()

    def _stored_dtype(self) -> str:
        name = max(self._where, key=lambda key: ("mlp" in key, key))
        with safe_open(self._where[name], "pt") as tensors:
            return str(tensors.get_slice(name).get_dtype()).lower()

    def has(self, name: str) -> bool:
        return self._key(name) is not None

    def _key(self, name: str) -> str | None:
        """Bare checkpoints (`h.0...`, `layers.0...`) leave out the name of the model's body."""
        bare = name.partition(".")[2]
        return next((key for key in (name, bare) if key in self._where), None)

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:
        key = self._key(name)
        if key is None:
            raise CheckpointError(
                f"The checkpoint has no tensor {name!r}. Is it complete, and of the family it claims?"
            )
        file = self._where[key]
        with _readable(file), safe_open(file, "pt") as tensors:
            rows, width = tensors.get_slice(key).get_shape()
            stored = tensors.get_slice(key)[:1].dtype
        kept = as_stored and stored is torch.bfloat16
        tensor = torch.empty(rows, width, dtype=stored if kept else torch.float32)
        for part in _pieces(rows, width):
            # Opened again for each piece: what was read of a mapped file counts as memory until it is closed.
            with _readable(file), safe_open(file, "pt") as tensors:
                tensor[part] = tensors.get_slice(key)[part]
        return tensor


@dataclass(frozen=True)
class _Packed:
    """Where `rows` of `width` values lie in a GGUF file, packed into an array of `shape` and `dtype`.

    What gguf says of a tensor holds on to the whole header, which takes memory.
    """

    kind: gguf.GGMLQuantizationType
    rows: int
    width: int
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: gguf.ReaderTensor) -> "_Packed":
        width, rows = (*(int(size) for size in tensor.shape), 1)[:2]
        data = tensor.data
        return cls(tensor.tensor_type, rows, width, int(tensor.data_offset), data.dtype, data.shape)


class GGUFFile:
    """One GGUF file; its tensors are dequantised as they are read."""

    def __init__(self, file: Path, layers_path: str, names: dict[str, str]) -> None:
        self.files = [file]
        self._names = names  # transformers' name -> GGUF's, for what is not in a layer
        self._layers_path = layers_path
        with _readable(file):
            self._tensors = {tensor.name: _Packed.of(tensor) for tensor in gguf.GGUFReader(file).tensors}
        types = [packed.kind.name for name, packed in self._tensors.items() if "ffn_up" in name]
        self.dtype = types[0].lower() if types else "unknown"

    def _key(self, name: str) -> str:
        """GGUF names: `blk.3.ffn_up.weight` for `model.layers.3.mlp.up_proj.weight`, and so on."""
        if name in self._names:
            return self._names[name]
        layer, _, module = name.removeprefix(self._layers_path + ".").partition(".")
        return f"blk.{layer}.{self._names.get(module, module)}"

    def has(self, name: str) -> bool:
        return self._key(name) in self._tensors

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:  # noqa: ARG002  (quantised: never bf16)
        key = self._key(name)
        if key not in self._tensors:
            raise CheckpointError(f"{self.files[0].name} has no tensor {key!r}. Is the file complete?")
        packed = self._tensors[key]
        tensor = torch.empty(packed.rows, packed.width)
        with _readable(self.files[0]):
            # Mapped anew: what was read of a mapped file counts as memory for as long as it is mapped.
            data = np.memmap(self.files[0], packed.dtype, "r", packed.offset, packed.shape)
            for part in _pieces(packed.rows, packed.width):
                tensor[part] = torch.from_numpy(gguf.quants.dequantize(data[part], packed.kind))
        return tensor


def _pieces(rows: int, width: int) -> Iterator[slice]:
    """Some rows of a matrix at a time: converting all of a large one takes its memory several times over."""
    size = max(1, PIECE // width)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def gguf_names(up: str, gate: str | None, down: str, embedding: str, head: str) -> dict[str, str]:
    """Transformers' weight names to GGUF's, the same in every family."""
    names = {f"{embedding}.weight": "token_embd.weight", f"{head}.weight": "output.weight"}
    for module, short in ((up, "ffn_up"), (gate, "ffn_gate"), (down, "ffn_down")):
        if module:
            names[f"{module}.weight"] = f"{short}.weight"
    return names


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError, IndexError, KeyError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}). Download it again.") from error


def _check_index(folder: Path, where: dict[str, Path]) -> None:
    """A sharded checkpoint lists its tensors; a missing shard is found before hours of work, not after."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return
    promised = json.loads(index.read_text())["weight_map"]
    missing = sorted({shard for name, shard in promised.items() if name not in where})
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}. Download the missing files.")


def _no_weights(folder: Path) -> str:
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        return (
            f"{folder} holds pickled weights only, which run code when they are loaded. "
            "Convert them: load with transformers and save_pretrained(..., safe_serialization=True)."
        )
    return f"{folder} holds no weights (*.safetensors). Give a complete checkpoint folder, a GGUF file, or a hub id."
