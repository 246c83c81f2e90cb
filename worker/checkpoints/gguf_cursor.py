"""Single values from the start of a GGUF file: numbers, texts, lists.

The file is not trusted: every count and length is compared with the bytes that the file has before anything is
allocated by it. Knows nothing of what the values mean.
"""

import mmap
import struct
from typing import Any, TypeAlias

SettingValue: TypeAlias = int | float | str | list["SettingValue"]

MOST_ENTRIES = 2**24  # settings, tensors and list entries together: the largest vocabularies have 2**19 entries
LONGEST_TEXT = 2**24  # bytes
DEEPEST_LIST = 4  # lists in lists

_TEXT, _LIST = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class DamagedFile(ValueError):
    """The file contradicts itself. The message says how, as part of a sentence."""


class GGUFCursor:
    """Read one value after another from the start of a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self.size = len(data)  # of the file, in bytes
        self.position = 0
        self._data = data
        self._entries_left = MOST_ENTRIES

    def take(self, size: int) -> bytes:
        """Read this many bytes."""
        end = self.position + size
        if end > self.size:
            raise DamagedFile("it ends within its header")
        taken = self._data[self.position : end]
        self.position = end
        return taken

    def read_number(self, code: str) -> Any:
        """Read a number; `code` is its type as `struct` spells it."""
        [number] = struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))
        return number

    def read_text(self) -> str:
        """Read a text, which stands behind its length."""
        size = self.read_number("Q")
        if size > LONGEST_TEXT:
            raise DamagedFile(f"it claims a text of {size:,} bytes")
        return self.take(size).decode()

    def check_count(self, count: int, size: int) -> None:
        """Raise if the rest of the file cannot hold `count` entries of at least `size` bytes each."""
        self._entries_left -= count
        if self._entries_left < 0 or count * size > self.size - self.position:
            raise DamagedFile(f"it claims {count:,} entries where there cannot be so many")

    def read_value(self, kind: int, depth: int = 0) -> SettingValue:
        """Read a setting's value of the type that GGUF gives the number `kind`."""
        if kind in _NUMBERS:
            number: SettingValue = self.read_number(_NUMBERS[kind])
            return number
        if kind == _TEXT:
            return self.read_text()
        if kind == _LIST and depth < DEEPEST_LIST:
            return self._read_list(depth)
        raise DamagedFile(f"it holds a setting of the unknown type {kind}")

    def _read_list(self, depth: int) -> list[SettingValue]:
        kind, count = self.read_number("I"), self.read_number("Q")
        if kind in _NUMBERS:
            size = struct.calcsize(f"<{_NUMBERS[kind]}")
            self.check_count(count, size)
            return list(struct.unpack(f"<{count}{_NUMBERS[kind]}", self.take(count * size)))
        self.check_count(count, 8)
        return [self.read_value(kind, depth + 1) for _ in range(count)]
