"""What is current in the library, and changing that in one step.

Knows the catalogue and where files are; builds and opens none.
"""

import secrets
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from neuronym.library import (
    KINDS,
    Catalogue,
    FileKind,
    LabelFileEntry,
    LibraryError,
    label_file,
    library_folder,
    read_catalogue,
    replace_catalogue,
)
from worker.errors import LabelFileError
from worker.library.holds import hold, hold_catalogue

NOTHING: Mapping[FileKind, tuple[()]] = {"model": (), "pair": ()}


def new_run() -> str:
    """A new run id: the time, and letters that tell apart what happens within one second."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def read_library(data: Path) -> Catalogue:
    """Read what is current.

    Raises:
        LabelFileError: the catalogue cannot be read.
    """
    try:
        return read_catalogue(data)
    except LibraryError as error:
        raise LabelFileError(str(error)) from error


def current_file(data: Path, kind: FileKind, name: str) -> Path:
    """The path of the current file of a model or pair.

    Raises:
        LabelFileError: there is none.
    """
    library = read_library(data)
    entry = library.find(kind, name)
    if entry is None:
        known = ", ".join(entry.name for entry in library.entries(kind)) or "none"
        raise LabelFileError(f"There is no {kind} {name!r} in the library. There are: {known}.")
    return label_file(data, kind, entry)


def unknown_name(library: Catalogue, name: str) -> LabelFileError:
    """The refusal of a name that is neither a model's nor a pair's."""
    known = ", ".join(entry.name for entry in (*library.models, *library.pairs)) or "nothing"
    return LabelFileError(f"There is no {name!r} in the library. There is: {known}.")


def update_catalogue(
    data: Path,
    run: str,
    current: Mapping[FileKind, Sequence[LabelFileEntry]],
    removed: Mapping[FileKind, Sequence[str]] = NOTHING,
) -> None:
    """Make files current in place of those of the same names, and take `removed` out; `run` names the new state.

    The caller holds all these names. Files that are current no more are deleted; who has one open reads on.

    Raises:
        LabelFileError: the catalogue cannot be read or written.
    """
    with hold_catalogue(data):
        before = read_library(data)
        after = Catalogue(
            run=run,
            models=_replace(before.models, current["model"], removed["model"]),
            pairs=_replace(before.pairs, current["pair"], removed["pair"]),
        )
        try:
            replace_catalogue(data, after)
        except OSError as error:
            raise LabelFileError(f"The catalogue of {data} cannot be written: {error.strerror}.") from error
        for kind in KINDS:
            _sweep(data, after, kind, {*(entry.name for entry in current[kind]), *removed[kind]})


def remove_leftovers(folder: Path, current: Path | None) -> None:
    """Delete all that a folder has but the current label file and what belongs to it: older ones, cut-off builds."""
    for leftover in folder.iterdir() if folder.is_dir() else ():
        if current is None or leftover.stem != current.stem:
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    if current is None and folder.is_dir():
        folder.rmdir()


def _replace(
    entries: Iterable[LabelFileEntry], changed: Iterable[LabelFileEntry], removed: Collection[str]
) -> tuple[LabelFileEntry, ...]:
    """The entries with the changed ones in their places, new ones last, without the removed ones."""
    by_name = {entry.name: entry for entry in (*entries, *changed)}
    return tuple(entry for name, entry in by_name.items() if name not in removed)


def _sweep(data: Path, library: Catalogue, kind: FileKind, held: Collection[str]) -> None:
    """Delete the files that are not current, of names that the caller holds or that nobody does."""
    for folder in (library_folder(data) / f"{kind}s").glob("*"):
        entry = library.find(kind, folder.name)
        current = label_file(data, kind, entry) if entry else None
        if folder.name in held:
            remove_leftovers(folder, current)
        else:
            with suppress(LabelFileError), hold(data, {kind: [folder.name]}):
                remove_leftovers(folder, current)
