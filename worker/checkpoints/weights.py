"""Single tensors from safetensors files, sharded or not, without building a model.

A reader maps a tensor's name to fp32 values in transformers' layout. It knows nothing of layers or families.
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
STORED = {"F64", "F32", "F16", "BF16"}  # what is read as it stands
# What stands beside quantised weights: FP8, compressed-tensors, GPTQ and AWQ, bitsandbytes, MXFP4.
BESIDE = re.compile(
    r"(\.|_)(weight_scale_inv|weight_scale|weight_scale_2|weight_zero_point|weight_packed|weight_shape|input_scale"
    r"|qweight|qzeros|scales|g_idx|SCB|weight_format|absmax|quant_map|blocks)$|\.quant_state\."
)


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
    """The tensors of a folder: those its index lists, else those of model.safetensors; no other file is looked at."""

    def __init__(self, folder: Path) -> None:
        self._where = _listed(folder) or _whole(folder)
        self.files = sorted(set(self._where.values()))
        _refuse_quantised(self._where)
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
            shape, kind = tensors.get_slice(key).get_shape(), tensors.get_slice(key).get_dtype()
            if kind not in STORED:
                raise CheckpointError(f"{file} stores {key!r} as {kind}, which has no values by itself. {UNQUANTISED}")
            if len(shape) == 1:
                vector: torch.Tensor = tensors.get_tensor(key)
                return vector.float()
            rows, width = shape
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


def _listed(folder: Path) -> dict[str, Path]:
    """Tensor to file as the index of a sharded checkpoint has it; empty without one.

    A missing shard, or one that lacks a tensor, is found here, before hours of work.
    """
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return {}
    promised = _weight_map(index)
    held: dict[str, set[str]] = {}
    for shard in sorted(set(promised.values())):
        file = folder / shard
        if Path(shard).name != shard or not file.is_file():
            raise CheckpointError(f"{folder} lacks {shard}, which its index lists. Download the missing files.")
        held[shard] = _names(file)
    lacking = min((name for name, shard in promised.items() if name not in held[shard]), default=None)
    if lacking:
        raise CheckpointError(f"{promised[lacking]} lacks the tensor {lacking!r} of its index. Download it again.")
    return {name: folder / shard for name, shard in promised.items()}


def _weight_map(index: Path) -> dict[str, str]:
    """What an index says."""
    try:
        said = json.loads(index.read_text())["weight_map"]
        promised = {str(name): shard for name, shard in said.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} cannot be read. Download it again.") from error
    if not promised or not all(isinstance(shard, str) for shard in promised.values()):
        raise CheckpointError(f"{index} lists no tensors. Download it again.")
    return promised


def _whole(folder: Path) -> dict[str, Path]:
    """Tensor to file where all lie in one."""
    file = folder / "model.safetensors"
    if file.is_file():
        return dict.fromkeys(_names(file), file)
    others = sorted(one.name for one in folder.glob("*.safetensors"))
    if others:
        raise CheckpointError(
            f"{folder} has neither model.safetensors nor model.safetensors.index.json, which say what the model is; "
            f"{others[0]} alone does not. Give the folder that save_pretrained wrote."
        )
    raise CheckpointError(_no_weights(folder))


def _names(file: Path) -> set[str]:
    with readable(file), safe_open(file, "pt") as tensors:
        return set(tensors.keys())


def _refuse_quantised(where: dict[str, Path]) -> None:
    """Refuse weights that mean nothing without the tensors beside them."""
    beside = min((name for name in where if BESIDE.search(name)), default=None)
    if beside:
        raise CheckpointError(
            f"{where[beside]} holds {beside!r}: its weights are quantised, and are not read with that. {UNQUANTISED}"
        )


def _no_weights(folder: Path) -> str:
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        return (
            f"{folder} holds pickled weights only, which run code when they are loaded. "
            "Convert them: load with transformers and save_pretrained(..., safe_serialization=True)."
        )
    return f"{folder} holds no weights (*.safetensors). Give a complete checkpoint folder, a GGUF file, or a hub id."
