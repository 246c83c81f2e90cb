"""The first mapping of a data folder, which `neuronym serve --map` begins: is one due, and has it come to its end?

A mark in the folder of unfinished runs says that it has begun and not ended, so that one that is cut off goes on with
the next start, although some of it is served. Knows paths; runs nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from neuronym.library import EMPTY, UNFINISHED, LibraryError, read_catalogue


@dataclass(frozen=True)
class FirstMapping:
    """What is to be mapped into a data folder that has nothing yet."""

    data: Path
    asked: str  # arguments of `neuronym-worker map`

    @property
    def is_due(self) -> bool:
        """Whether nothing is mapped yet, or this mapping was cut off."""
        return self._mark.exists() or self.is_first

    @property
    def is_first(self) -> bool:
        """Whether nothing is mapped yet. False where the catalogue cannot be read."""
        try:
            return read_catalogue(self.data) == EMPTY
        except LibraryError:
            return False

    def begin(self) -> None:
        """Note that it has begun."""
        with suppress(OSError):  # the mapping itself says what is wrong with the folder
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.write_text(self.asked)

    def end(self) -> None:
        """Note that all is mapped."""
        self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.data / UNFINISHED / "first-mapping.txt"
