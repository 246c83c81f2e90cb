"""What an earlier version left in a data folder, to be carried over by `worker.library.former` or `.renewal`.

Loads nothing large: to find nothing is what it is mostly asked for.
"""

from collections.abc import Iterator
from pathlib import Path

from neuronym.label_tables import CARRIED_OVER
from neuronym.library import KINDS, FileKind, LabelFileEntry, catalogue_file, label_file
from worker.errors import LabelFileError
from worker.labelfile.label_file import read_revision
from worker.library.current import read_library

LINK = "current"  # to the single label file of the first version


def find_former(data: Path) -> Path | None:
    """The label file of a data folder of the first version; None where there is none, or the library has begun."""
    link = data / LINK
    return link.resolve() if link.exists() and not catalogue_file(data).exists() else None


def find_outdated(data: Path) -> dict[FileKind, list[LabelFileEntry]]:
    """The files that an earlier version wrote, by kind; one that cannot be read stays as it is, for others to tell of.

    Raises:
        LabelFileError: the catalogue cannot be read.
    """
    library = read_library(data)
    return {kind: list(_outdated(data, kind, library.entries(kind))) for kind in KINDS}


def _outdated(data: Path, kind: FileKind, entries: tuple[LabelFileEntry, ...]) -> Iterator[LabelFileEntry]:
    for entry in entries:
        try:
            revision = read_revision(label_file(data, kind, entry))
        except LabelFileError:
            continue
        if revision in CARRIED_OVER:
            yield entry
