"""A model in several GGUF files, as llama.cpp's `llama-gguf-split` writes it: found, checked and read as one.

The parts are named `MODEL-00001-of-00003.gguf` and so on and lie in one folder. The first holds the model's settings;
each says in settings of its own (`split.`) which part it is, and how many parts and tensors the model has.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from worker.checkpoints.gguf_header import GGUFHeader, PackedTensor, read_header
from worker.errors import CheckpointError

_NUMBER, _PARTS, _TENSORS = "split.no", "split.count", "split.tensors.count"
_PART_NAME = re.compile(r"(?P<model>.*)-\d{5}-of-(?P<parts>\d{5})\.gguf")


def read_model_header(file: Path) -> GGUFHeader:
    """Read the header of the model that a GGUF file holds, or that it is any part of.

    Raises:
        CheckpointError: a file cannot be read, is of no model, or is not a part where it should be one.
    """
    header = read_header(file)
    parts = _count(header, _PARTS) if _PARTS in header.settings else 1
    if parts > 1:
        _check_name(header)
        header = _join([header if part == file else read_header(part) for part in _find_parts(file, parts)])
    elif _parts_by_name(file) > 1:
        raise CheckpointError(
            f"{file.name} is named as one of {_parts_by_name(file)} parts of a model, but holds no settings of a part. "
            "Rename it if it is the whole model, or download it again."
        )
    kind = header.settings.get("general.type", "model")
    if kind != "model":
        raise CheckpointError(f"{file.name} holds no model, but what GGUF calls {kind!r}. Give the file of the model.")
    return header


def model_name(file: Path) -> str:
    """A GGUF file's name without its ending, and without the number of the part that it is."""
    named = _PART_NAME.fullmatch(file.name)
    return named["model"] if named else file.stem


def _parts_by_name(file: Path) -> int:
    named = _PART_NAME.fullmatch(file.name)
    return int(named["parts"]) if named else 1


def _part_name(model: str, number: int, parts: int) -> str:
    return f"{model}-{number:05d}-of-{parts:05d}.gguf"


def _find_parts(file: Path, parts: int) -> list[Path]:
    """The files of all parts of the model that `file` is one of, in order."""
    files = [file.with_name(_part_name(model_name(file), number, parts)) for number in range(1, parts + 1)]
    missing = next((part for part in files if not part.is_file()), None)
    if missing:
        raise CheckpointError(
            f"{file.name} is one of {parts} parts of a model, and {missing.name} is not beside it. "
            "Download the missing parts into one folder."
        )
    return files


def _join(headers: Sequence[GGUFHeader]) -> GGUFHeader:
    """One header of the headers of all parts, in order."""
    settings, tensors = headers[0].settings, dict[str, PackedTensor]()
    for header in headers:
        _check_name(header)
        differing = [key for key in _settings_of_model(header) if settings.get(key) != header.settings[key]]
        if differing:
            raise CheckpointError(
                f"{header.file.name} has the setting {differing[0]!r}, which {headers[0].file.name} has not or has "
                "another value of: it is of another model. Download the parts again."
            )
        twice = min(tensors.keys() & header.tensors.keys(), default=None)
        if twice:
            raise CheckpointError(
                f"{header.file.name} holds the tensor {twice!r}, which {tensors[twice].file.name} holds, too. "
                "Download the parts again."
            )
        tensors |= header.tensors
    for header in headers:
        if _count(header, _TENSORS) != len(tensors):
            raise CheckpointError(
                f"{header.file.name} says that the model has {header.settings[_TENSORS]} tensors, but its parts hold "
                f"{len(tensors)}. Download the parts again."
            )
    return GGUFHeader(tuple(header.file for header in headers), settings, tensors)


def _settings_of_model(header: GGUFHeader) -> list[str]:
    """The settings that say something of the model, not of the file."""
    return [key for key in header.settings if not key.startswith("split.") and key != "general.alignment"]


def _check_name(header: GGUFHeader) -> None:
    """Refuse a part whose name is not the one that its settings give it."""
    number, parts = _count(header, _NUMBER) + 1, _count(header, _PARTS)
    expected = _part_name(model_name(header.file), number, parts)
    if header.file.name != expected:
        raise CheckpointError(
            f"{header.file.name} is part {number} of {parts} of a model by its own settings, so that its name should "
            f"be {expected}. Rename it, or download it again."
        )


def _count(header: GGUFHeader, key: str) -> int:
    """A setting that is a count, or a place counted from nought."""
    value = header.settings.get(key)
    if not isinstance(value, int) or value < 0:
        raise CheckpointError(
            f"{header.file.name} is a part of a model, but its {key} is {value!r}. Download it again."
        )
    return value
