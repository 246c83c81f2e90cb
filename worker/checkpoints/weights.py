"""Single tensors from safetensors files, sharded or not, without building a model.

A reader gives a tensor's fp32 values, in transformers' layout, by name. Knows nothing of layers or families.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open

from worker.errors import CheckpointError

UNQUANTISED = "Give the checkpoint in bf16 or fp16 that it was made of, or a GGUF file."
PIECE = 2**23  # values converted at a time
READ_AS_STORED = {"F64", "F32", "F16", "BF16"}  # types whose values need no scales
# Tensors that quantised weights need: of FP8, compressed-tensors, GPTQ and AWQ, bitsandbytes, MXFP4.
QUANTISATION_PART = re.compile(
    r"(\.|_)(weight_scale_inv|weight_scale|weight_scale_2|weight_zero_point|weight_packed|weight_shape|input_scale"
    r"|qweight|qzeros|scales|g_idx|SCB|weight_format|absmax|quant_map|blocks)$|\.quant_state\."
)


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
    """The tensors of a folder: those that its index lists, else those of model.safetensors; other files are ignored."""

    def __init__(self, folder: Path) -> None:
        self._file_of = _indexed_tensors(folder) or _tensors_of_one_file(folder)
        self.files = sorted(set(self._file_of.values()))
        _refuse_quantised(self._file_of)
        self.dtype = self._stored_dtype()

    def _stored_dtype(self) -> str:
        name = max(self._file_of, key=lambda key: ("mlp" in key, key))
        with safe_open(self._file_of[name], "pt") as tensors:
            return str(tensors.get_slice(name).get_dtype()).lower()

    def has(self, name: str) -> bool:
        return self._key(name) is not None

    def _key(self, name: str) -> str | None:
        """The stored name of a tensor; checkpoints of the body alone (`h.0...`, `layers.0...`) leave out its name."""
        bare = name.partition(".")[2]
        return next((key for key in (name, bare) if key in self._file_of), None)

    def read(self, name: str, as_stored: bool = False) -> torch.Tensor:
        key = self._key(name)
        if key is None:
            raise CheckpointError(
                f"The checkpoint has no tensor {name!r}. Is it complete, and of the family it claims?"
            )
        file = self._file_of[key]
        with readable(file), safe_open(file, "pt") as tensors:
            shape, kind = tensors.get_slice(key).get_shape(), tensors.get_slice(key).get_dtype()
            if kind not in READ_AS_STORED:
                raise CheckpointError(f"{file} stores {key!r} as {kind}, which has no values by itself. {UNQUANTISED}")
            if len(shape) == 1:
                vector: torch.Tensor = tensors.get_tensor(key)
                return vector.float()
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
    size = max(1, PIECE // width)
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn any error while `file` is read into a CheckpointError that names it."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, IndexError, KeyError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}). Download it again.") from error


def _indexed_tensors(folder: Path) -> dict[str, Path]:
    """Map each tensor's name to its file by the index of a sharded checkpoint; empty without an index.

    A missing shard, or one that lacks a tensor, is reported here, before hours of work.
    """
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return {}
    shard_of = _weight_map(index)
    names_in: dict[str, set[str]] = {}
    for shard in sorted(set(shard_of.values())):
        file = folder / shard
        if Path(shard).name != shard or not file.is_file():
            raise CheckpointError(f"{folder} lacks {shard}, which its index lists. Download the missing files.")
        names_in[shard] = _names(file)
    missing = min((name for name, shard in shard_of.items() if name not in names_in[shard]), default=None)
    if missing:
        raise CheckpointError(f"{shard_of[missing]} lacks the tensor {missing!r} of its index. Download it again.")
    return {name: folder / shard for name, shard in shard_of.items()}


def _weight_map(index: Path) -> dict[str, str]:
    """Read an index: tensor name -> shard's file name."""
    try:
        weight_map = json.loads(index.read_text())["weight_map"]
        shards = {str(name): shard for name, shard in weight_map.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} cannot be read. Download it again.") from error
    if not shards or not all(isinstance(shard, str) for shard in shards.values()):
        raise CheckpointError(f"{index} lists no tensors. Download it again.")
    return shards


def _tensors_of_one_file(folder: Path) -> dict[str, Path]:
    """Map each tensor's name to model.safetensors."""
    file = folder / "model.safetensors"
    if file.is_file():
        return dict.fromkeys(_names(file), file)
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    if others:
        raise CheckpointError(
            f"{folder} has neither model.safetensors nor model.safetensors.index.json, which say what the model is; "
            f"{others[0]} alone does not. Give the folder that save_pretrained wrote."
        )
    raise CheckpointError(_no_weights(folder))


def _names(file: Path) -> set[str]:
    with readable(file), safe_open(file, "pt") as tensors:
        return set(tensors.keys())


def _refuse_quantised(file_of: dict[str, Path]) -> None:
    """Refuse quantised weights, which mean nothing without other tensors."""
    part = min((name for name in file_of if QUANTISATION_PART.search(name)), default=None)
    if part:
        raise CheckpointError(
            f"{file_of[part]} holds {part!r}: its weights are quantised, and are not read with that. {UNQUANTISED}"
        )


def _no_weights(folder: Path) -> str:
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        return (
            f"{folder} holds pickled weights only, which run code when they are loaded. "
            "Convert them: load with transformers and save_pretrained(..., safe_serialization=True)."
        )
    return f"{folder} holds no weights (*.safetensors). Give a complete checkpoint folder, a GGUF file, or a hub id."
