"""The header of one GGUF file: its settings, and the place of each tensor. One pass over the start of the file.

The file is not trusted: what it claims is compared with the bytes that it has. Knows no model.
"""

import math
import mmap
import struct
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

import gguf
import numpy as np

from worker.checkpoints.gguf_cursor import DamagedFile, GGUFCursor, SettingValue
from worker.errors import CheckpointError

QuantisationKind: TypeAlias = gguf.GGMLQuantizationType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class PackedTensor:
    """The place of a tensor in its file: `rows` times `row_bytes` bytes from `offset` on."""

    file: Path
    kind: QuantisationKind
    shape: tuple[int, ...]  # in torch's order: rows first
    offset: int
    row_bytes: int

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])


@dataclass(frozen=True)
class GGUFHeader:
    """The settings and the places of tensors that a GGUF file starts with, or the parts of one model together."""

    files: tuple[Path, ...]
    settings: dict[str, SettingValue] = field(repr=False)
    tensors: dict[str, PackedTensor] = field(repr=False)

    @property
    def file(self) -> Path:
        """The file of the settings, which is the first."""
        return self.files[0]


def read_header(file: Path) -> GGUFHeader:
    """Read the header of a GGUF file and check that the file holds all of its tensors.

    Raises:
        CheckpointError: the file is no GGUF file, is damaged, or is packed in an unknown way.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _HeaderReader(file, GGUFCursor(data)).read()
    except CheckpointError:
        raise
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise CheckpointError(f"{file.name} is damaged or cut short ({error}). Download it again.") from error


class _HeaderReader:
    """Read the header of a file."""

    def __init__(self, file: Path, cursor: GGUFCursor) -> None:
        self._file = file
        self._cursor = cursor

    def read(self) -> GGUFHeader:
        cursor = self._cursor
        tensors, settings = self._read_start()
        cursor.check_count(settings, 13)  # a key's length, a type and at least one byte
        values: dict[str, SettingValue] = {}
        for _ in range(settings):
            key = cursor.read_text()
            if key in values:
                raise DamagedFile(f"it says {key} twice")
            values[key] = cursor.read_value(cursor.read_number("I"))
        cursor.check_count(tensors, 24)  # a name's length, a number of dimensions, a type and an offset
        infos = [self._read_info() for _ in range(tensors)]
        start = _aligned(cursor.position, values.get("general.alignment", 32))
        packed = {name: self._packed(start, name, shape, kind, offset) for name, shape, kind, offset in infos}
        if len(packed) < tensors:
            raise DamagedFile("two of its tensors have one name")
        return GGUFHeader((self._file,), values, packed)

    def _read_start(self) -> tuple[int, int]:
        """Read the file's first bytes; return the number of tensors and of settings."""
        name, cursor = self._file.name, self._cursor
        if cursor.take(4) != MAGIC:
            raise CheckpointError(f"{name} is not a GGUF file. Give a GGUF file, a folder, or a hub id.")
        version = cursor.read_number("I")
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
        return cursor.read_number("Q"), cursor.read_number("Q")

    def _read_info(self) -> tuple[str, tuple[int, ...], int, int]:
        """Read a tensor's name, shape, quantisation kind, and offset from the start of the tensors."""
        cursor = self._cursor
        name, dimensions = cursor.read_text(), cursor.read_number("I")
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise DamagedFile(f"its tensor {name!r} has {dimensions} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions))
        return name, tuple(reversed(shape)), cursor.read_number("I"), cursor.read_number("Q")

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
            raise DamagedFile(f"its tensor {name!r} has the shape {shape}, which {kind.name} does not pack")
        packed = PackedTensor(self._file, kind, shape, start + offset, shape[-1] // block * block_bytes)
        if packed.offset + packed.rows * packed.row_bytes > self._cursor.size:
            raise DamagedFile(f"it ends before its tensor {name!r} does")
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
        raise DamagedFile(f"it aligns its tensors to {alignment!r}")
    return -(-position // alignment) * alignment
