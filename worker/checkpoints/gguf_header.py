"""The header of a GGUF file: its settings, and where each tensor lies. One pass over the start of the file.

What a file says of itself is not trusted: every count and length is held against the bytes that are there before
anything is made of it. Knows no model.
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

Value: TypeAlias = int | float | str | list["Value"]
Kind: TypeAlias = gguf.GGMLQuantizationType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST = 2**24  # settings, tensors and entries of lists, together: the largest vocabularies have 2**19 entries
LONGEST = 2**24  # bytes of a text
DEEPEST = 4  # lists in lists
DIMENSIONS = 4

_TEXT, _LIST = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_PART = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


@dataclass(frozen=True)
class Packed:
    """Where a tensor lies in the file: `rows` times `row_bytes` bytes from `offset` on."""

    kind: Kind
    shape: tuple[int, ...]  # as torch counts: rows first
    offset: int
    row_bytes: int

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])


@dataclass(frozen=True)
class Header:
    """What a GGUF file says before its tensors."""

    file: Path
    settings: dict[str, Value] = field(repr=False)
    tensors: dict[str, Packed] = field(repr=False)


class _Damaged(ValueError):
    """The file is not what it says. The message says how, within a sentence."""


def read_header(file: Path) -> Header:
    """Read the header of a GGUF file and check that the file holds all of its tensors.

    Raises:
        CheckpointError: it is no GGUF file, is damaged, is a part of a model, or is packed in a way unknown here.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _Cursor(file, data).header()
    except CheckpointError:
        raise
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise CheckpointError(f"{file.name} is damaged or cut short ({error}). Download it again.") from error
    _refuse_parts(header)
    return header


def _refuse_parts(header: Header) -> None:
    """Refuse what is not one whole model."""
    name = header.file.name
    named, parts = _PART.search(name), header.settings.get("split.count", 1)
    if (named and int(named[1]) > 1) or parts not in (0, 1):
        raise CheckpointError(
            f"{name} is one part of a model that is split into several files. Join them with llama.cpp's "
            "`llama-gguf-split --merge` and give the one file."
        )
    kind = header.settings.get("general.type", "model")
    if kind != "model":
        raise CheckpointError(f"{name} holds no model, but what GGUF calls {kind!r}. Give the file of the model.")


class _Cursor:
    """Reads one thing after another from the start of a file."""

    def __init__(self, file: Path, data: mmap.mmap) -> None:
        self._file = file
        self._data = data
        self._at = 0
        self._left = MOST

    def header(self) -> Header:
        tensors, settings = self._start()
        self._count(settings, 13)  # a key's length, a type and at least one byte
        said: dict[str, Value] = {}
        for _ in range(settings):
            key = self._text()
            if key in said:
                raise _Damaged(f"it says {key} twice")
            said[key] = self._value(self._number("I"))
        self._count(tensors, 24)  # a name's length, a number of dimensions, a type and an offset
        infos = [self._info() for _ in range(tensors)]
        start = _aligned(self._at, said.get("general.alignment", 32))
        packed = {name: self._packed(start, name, shape, kind, offset) for name, shape, kind, offset in infos}
        if len(packed) < tensors:
            raise _Damaged("two of its tensors have one name")
        return Header(self._file, said, packed)

    def _start(self) -> tuple[int, int]:
        """How many tensors and settings there are."""
        name = self._file.name
        if self._take(4) != MAGIC:
            raise CheckpointError(f"{name} is not a GGUF file. Give a GGUF file, a folder, or a hub id.")
        version = self._number("I")
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
        return self._number("Q"), self._number("Q")

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise _Damaged("it ends within its header")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _number(self, code: str) -> Any:
        [number] = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))
        return number

    def _text(self) -> str:
        size = self._number("Q")
        if size > LONGEST:
            raise _Damaged(f"it claims a text of {size:,} bytes")
        return self._take(size).decode()

    def _count(self, count: int, size: int) -> None:
        """Refuse to go on with a count of things of at least `size` bytes that cannot be."""
        self._left -= count
        if self._left < 0 or count * size > len(self._data) - self._at:
            raise _Damaged(f"it claims {count:,} entries where there cannot be so many")

    def _value(self, kind: int, depth: int = 0) -> Value:
        if kind in _NUMBERS:
            number: Value = self._number(_NUMBERS[kind])
            return number
        if kind == _TEXT:
            return self._text()
        if kind == _LIST and depth < DEEPEST:
            return self._list(depth)
        raise _Damaged(f"it holds a setting of the unknown type {kind}")

    def _list(self, depth: int) -> list[Value]:
        kind, count = self._number("I"), self._number("Q")
        if kind in _NUMBERS:
            size = struct.calcsize(f"<{_NUMBERS[kind]}")
            self._count(count, size)
            return list(struct.unpack(f"<{count}{_NUMBERS[kind]}", self._take(count * size)))
        self._count(count, 8)
        return [self._value(kind, depth + 1) for _ in range(count)]

    def _info(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, kind, and offset from where the tensors start."""
        name, dimensions = self._text(), self._number("I")
        if not 1 <= dimensions <= DIMENSIONS:
            raise _Damaged(f"its tensor {name!r} has {dimensions} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", self._take(8 * dimensions))
        return name, tuple(reversed(shape)), self._number("I"), self._number("Q")

    def _packed(self, start: int, name: str, shape: tuple[int, ...], number: int, offset: int) -> Packed:
        """Where a tensor lies, checked against the size of the file."""
        kind = _kind(number)
        if kind is None:
            raise CheckpointError(
                f"{self._file.name} packs its tensor {name!r} in a way that cannot be read (type {number}). "
                "Download another quantisation of the model, such as Q8_0 or Q4_K_M."
            )
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        if 0 in shape or shape[-1] % block:
            raise _Damaged(f"its tensor {name!r} has the shape {shape}, which {kind.name} does not pack")
        packed = Packed(kind, shape, start + offset, shape[-1] // block * block_bytes)
        if packed.offset + packed.rows * packed.row_bytes > len(self._data):
            raise _Damaged(f"it ends before its tensor {name!r} does")
        return packed


@cache
def _kind(number: int) -> Kind | None:
    """The way a tensor is packed that has this number, or None if it cannot be unpacked."""
    try:
        kind = gguf.GGMLQuantizationType(number)
        gguf.quants.dequantize(np.zeros((1, gguf.GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
    except (ValueError, NotImplementedError):
        return None
    return kind


def _aligned(at: int, alignment: Value) -> int:
    """The first multiple of the alignment from `at` on."""
    if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
        raise _Damaged(f"it aligns its tensors to {alignment!r}")
    return -(-at // alignment) * alignment
