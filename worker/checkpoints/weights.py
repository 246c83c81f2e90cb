"""Single tensors from safetensors files, sharded or not, without building a model.

A reader maps a tensor's name to fp32 values in transformers' layout. It knows nothing of layers or families.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

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
        """The tensor in fp32, or in bf16 if it is stored so and `as_stored` asks for that.

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
            with readable(file), safe_open(file, "pt") as tensors:
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
        with readable(file), safe_open(file, "pt") as tensors:
            rows, width = tensors.get_slice(key).get_shape()
            stored = tensors.get_slice(key)[:1].dtype
        kept = as_stored and stored is torch.bfloat16
        tensor = torch.empty(rows, width, dtype=stored if kept else torch.float32)
        for part in pieces(rows, width):
            # Opened again for each piece: what was read of a mapped file counts as memory until it is closed.
            with readable(file), safe_open(file, "pt") as tensors:
                tensor[part] = tensors.get_slice(key)[part]
        return tensor


def pieces(rows: int, width: int) -> Iterator[slice]:
    """Some rows of a matrix at a time: converting all of a large one takes its memory several times over."""
    size = max(1, PIECE // width)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Say of any error while a file is read that it cannot be read."""
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
