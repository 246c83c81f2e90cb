"""The records of a pair's counterparts file, each read by its place: the row of the label in the table `drift`."""

import mmap
from pathlib import Path
from typing import NamedTuple

from app.labelfile.database import UnreadableFile
from neuronym.contract import Role
from neuronym.label_tables import HEADER, MAGIC, NAMED, NO_TOKEN, RECORD


class CounterpartRecord(NamedTuple):
    """What became of a label between the models of a pair; `tokens` are the first ones in each model."""

    cosine: float
    same_top: bool
    near_tie: bool
    tokens: dict[Role, list[int]]


class CounterpartRecords:
    """The records, read from the file as they are asked for.

    Raises:
        UnreadableFile: the file is missing, damaged, or not of as many labels as the table has.
    """

    def __init__(self, path: Path, labels: int) -> None:
        try:
            with path.open("rb") as file:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise UnreadableFile(f"its counterparts file {path.name} cannot be read. Map the pair again.") from error
        expected = HEADER.size + labels * RECORD.size
        if len(self._content) != expected or HEADER.unpack_from(self._content) != (MAGIC, labels):
            raise UnreadableFile(f"its counterparts file {path.name} is damaged. Map the pair again.")

    def read(self, row: int) -> CounterpartRecord:
        """The record of a row of the table."""
        cosine, same_top, near_tie, *tokens = RECORD.unpack_from(self._content, HEADER.size + row * RECORD.size)
        base, instruct = ([id_ for id_ in part if id_ != NO_TOKEN] for part in (tokens[:NAMED], tokens[NAMED:]))
        return CounterpartRecord(cosine, same_top, near_tie, {Role.base: base, Role.instruct: instruct})
