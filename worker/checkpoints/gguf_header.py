"""The header of a GGUF file: its settings, and the place of each tensor. One pass over the start of the file.

The file is not trusted: every count and length is compared with the bytes that the file has before anything is
allocated by it. Knows no model.
"""

import math
import mmap
import re
import struct
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import gguf
import numpy as np

from worker.errors import CheckpointError

SettingValue: TypeAlias = int | float | str | list["SettingValue"]
QuantisationKind: TypeAlias = gguf.GGMLQuantizationType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_ENTRIES = 2**24  # settings, tensors and list entries together: the largest vocabularies have 2**19 entries
LONGEST_TEXT = 2**24  # bytes
DEEPEST_LIST = 4  # lists in lists
MOST_DIMENSIONS = 4

_TEXT, _LIST = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_PART_NAME = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class PackedTensor:
    """The place of a tensor in the file: `rows` times `row_bytes` bytes from `offset` on."""

    kind: QuantisationKind
    shape: tuple[int, ...]  # in torch's order: rows first
    offset: int
    row_bytes: int

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])


@dataclass(frozen=True)
class GGUFHeader:
    """The settings and the places of tensors that a GGUF file starts with."""

    file: Path
    settings: dict[str, SettingValue] = field(repr=False)
    tensors: dict[str, PackedTensor] = field(repr=False)


class _DamagedFile(ValueError):
    """The file contradicts itself. The message says how, as part of a sentence."""


def read_header(file: Path) -> GGUFHeader:
    """Read the header of a GGUF file and check that the file holds all of its tensors.

    Raises:
        CheckpointError: the file is no GGUF file, is damaged, is a part of a model, or is packed in an unknown way.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _Cursor(file, data).read_header()
    except CheckpointError:
        raise
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise CheckpointError(f"{file.name} is damaged or cut short ({error}). Download it again.") from error
    _refuse_parts(header)
    return header


def _refuse_parts(header: GGUFHeader) -> None:
    """Refuse a file that does not hold one whole model."""
    name = header.file.name
    named, parts = _PART_NAME.search(name), header.settings.get("split.count", 1)
    if (named and int(named[1]) > 1) or parts not in (0, 1):
        raise CheckpointError(
            f"{name} is one part of a model that is split into several files. Join them with llama.cpp's "
            "`llama-gguf-split --merge` and give the one file."
        )
    kind = header.settings.get("general.type", "model")
    if kind != "model":
        raise CheckpointError(f"{name} holds no model, but what GGUF calls {kind!r}. Give the file of the model.")


class _Cursor:
    """Read one value after another from the start of a file."""

    def __init__(self, file: Path, data: mmap.mmap) -> None:
        self._file = file
        self._data = data
        self._position = 0
        self._entries_left = MOST_ENTRIES

    def read_header(self) -> GGUFHeader:
        tensors, settings = self._read_start()
        self._check_count(settings, 13)  # a key's length, a type and at least one byte
        values: dict[str, SettingValue] = {}
        for _ in range(settings):
            key = self._read_text()
            if key in values:
                raise _DamagedFile(f"it says {key} twice")
            values[key] = self._read_value(self._read_number("I"))
        self._check_count(tensors, 24)  # a name's length, a number of dimensions, a type and an offset
        infos = [self._read_info() for _ in range(tensors)]
        start = _aligned(self._position, values.get("general.alignment", 32))
        packed = {name: self._packed(start, name, shape, kind, offset) for name, shape, kind, offset in infos}
        if len(packed) < tensors:
            raise _DamagedFile("two of its tensors have one name")
        return GGUFHeader(self._file, values, packed)

    def _read_start(self) -> tuple[int, int]:
        """Read the file's first bytes; return the number of tensors and of settings."""
        name = self._file.name
        if self._take(4) != MAGIC:
            raise CheckpointError(f"{name} is not a GGUF file. Give a GGUF file, a folder, or a hub id.")
        version = self._read_number("I")
        if version & 0xFFFF == 0:
            raise CheckpointError(
                f"{name} is a GGUF file for big-endian machines. Convert it with `gguf-convert-endian`, or download "
                "the common little-endian one."
            )
        if version not in VERSIONS:
            raise CheckpointError(
                f"{name} is a GGUF file of version {version}; versions 2 and 3 can be read. Download a newer "
                "conversion of the model."
            )
        return self._read_number("Q"), self._read_number("Q")

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise _DamagedFile("it ends within its header")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _read_number(self, code: str) -> Any:
        [number] = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))
        return number

    def _read_text(self) -> str:
        size = self._read_number("Q")
        if size > LONGEST_TEXT:
            raise _DamagedFile(f"it claims a text of {size:,} bytes")
        return self._take(size).decode()

    def _check_count(self, count: int, size: int) -> None:
        """Raise if the rest of the file cannot hold `count` entries of at least `size` bytes each."""
        self._entries_left -= count
        if self._entries_left < 0 or count * size > len(self._data) - self._position:
            raise _DamagedFile(f"it claims {count:,} entries where there cannot be so many")

    def _read_value(self, kind: int, depth: int = 0) -> SettingValue:
        if kind in _NUMBERS:
            number: SettingValue = self._read_number(_NUMBERS[kind])
            return number
        if kind == _TEXT:
            return self._read_text()
        if kind == _LIST and depth < DEEPEST_LIST:
            return self._read_list(depth)
        raise _DamagedFile(f"it holds a setting of the unknown type {kind}")

    def _read_list(self, depth: int) -> list[SettingValue]:
        kind, count = self._read_number("I"), self._read_number("Q")
        if kind in _NUMBERS:
            size = struct.calcsize(f"<{_NUMBERS[kind]}")
            self._check_count(count, size)
            return list(struct.unpack(f"<{count}{_NUMBERS[kind]}", self._take(count * size)))
        self._check_count(count, 8)
        return [self._read_value(kind, depth + 1) for _ in range(count)]

    def _read_info(self) -> tuple[str, tuple[int, ...], int, int]:
        """Read a tensor's name, shape, quantisation kind, and offset from the start of the tensors."""
        name, dimensions = self._read_text(), self._read_number("I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise _DamagedFile(f"its tensor {name!r} has {dimensions} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", self._take(8 * dimensions))
        return name, tuple(reversed(shape)), self._read_number("I"), self._read_number("Q")

    def _packed(self, start: int, name: str, shape: tuple[int, ...], number: int, offset: int) -> PackedTensor:
        """The place of a tensor, checked against the size of the file."""
        kind = _quantisation_kind(number)
        if kind is None:
            raise CheckpointError(
                f"{self._file.name} packs its tensor {name!r} in a way that cannot be read (type {number}). "
                "Download another quantisation of the model, such as Q8_0 or Q4_K_M."
            )
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        if 0 in shape or shape[-1] % block:
            raise _DamagedFile(f"its tensor {name!r} has the shape {shape}, which {kind.name} does not pack")
        packed = PackedTensor(kind, shape, start + offset, shape[-1] // block * block_bytes)
        if packed.offset + packed.rows * packed.row_bytes > len(self._data):
            raise _DamagedFile(f"it ends before its tensor {name!r} does")
        return packed


@cache
def _quantisation_kind(number: int) -> QuantisationKind | None:
    """The quantisation kind of this number, or None if it cannot be unpacked."""
    try:
        kind = gguf.GGMLQuantizationType(number)
        gguf.quants.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except (ValueError, NotImplementedError):
        return None
    return kind


def _aligned(position: int, alignment: SettingValue) -> int:
    """The first multiple of the alignment that is not below `position`."""
    if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
        raise _DamagedFile(f"it aligns its tensors to {alignment!r}")
    return -(-position // alignment) * alignment
