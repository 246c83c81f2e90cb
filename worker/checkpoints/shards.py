"""The safetensors files of a folder: which of them the model is, and which file holds each tensor. Reads no values."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from worker.errors import CheckpointError

_WHOLE = "model.safetensors"
_POINTER = b"version https://git-lfs"


def file_of_tensors(folder: Path) -> dict[str, Path]:
    """Map each tensor's name to its file: by the index of a sharded checkpoint, else all of model.safetensors.

    Raises:
        CheckpointError: the folder has neither, or lacks a file or a tensor of its index.
    """
    return _indexed_tensors(folder) or _tensors_of_one_file(folder)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn any error while `file` is read into a CheckpointError that names it."""
    try:
        yield
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, IndexError, KeyError) as error:
        if is_lfs_pointer(file):
            raise CheckpointError(f"{file} is only a pointer to the file itself. Fetch that: git lfs pull.") from error
        raise CheckpointError(f"{file} cannot be read ({error}). Download it again.") from error


def is_lfs_pointer(file: Path) -> bool:
    """Whether a file is what Git leaves in the place of a large file that it has not fetched."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def _indexed_tensors(folder: Path) -> dict[str, Path]:
    """Map each tensor's name to its file by the index of a sharded checkpoint; empty without an index.

    A missing shard, or one that lacks a tensor, is reported here, before hours of work.
    """
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return {}
    shard_of = _weight_map(index)
    if (folder / _WHOLE).exists() and _WHOLE not in shard_of.values():
        raise CheckpointError(
            f"{folder} has both {_WHOLE} and an index of other files, which may be two models. Take one of them away."
        )
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
    file = folder / _WHOLE
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


def _no_weights(folder: Path) -> str:
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        return (
            f"{folder} holds pickled weights only, which run code when they are loaded. "
            "Convert them: load with transformers and save_pretrained(..., safe_serialization=True)."
        )
    return f"{folder} holds no weights (*.safetensors). Give a complete checkpoint folder, a GGUF file, or a hub id."
