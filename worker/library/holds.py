"""Who works on which model or pair: a run holds them from start to end, and a second one is refused at once.

A hold is a lock on a file, which the system lets go when the process ends, however it ends. Needs no DuckDB.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from neuronym.library import FileKind, library_folder
from worker.errors import LabelFileError

FOLDER = ".holds"


@contextmanager
def hold(data: Path, names: Mapping[FileKind, Sequence[str]]) -> Iterator[None]:
    """Hold models and pairs, by kind and name, for the length of the block.

    Raises:
        LabelFileError: another run holds one of them.
    """
    with ExitStack() as held:
        for kind in sorted(names):  # in one order, so that of two runs one gets all
            for name in sorted(set(names[kind])):
                held.enter_context(_hold(data, kind, name))
        yield


@contextmanager
def hold_catalogue(data: Path) -> Iterator[None]:
    """Hold the catalogue while it is replaced; waits for the moment that another run needs for that."""
    with _lock_file(data, "catalogue").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hold_open(file: IO[Any], refusal: str) -> None:
    """Hold a file that is open, until it is closed.

    Raises:
        LabelFileError: another run holds it; `refusal` says so.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LabelFileError(refusal) from error


@contextmanager
def _hold(data: Path, kind: FileKind, name: str) -> Iterator[None]:
    with _lock_file(data, f"{kind}-{name}").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise LabelFileError(
                f"Another run works on the {kind} {name!r} (process {file.read().strip() or 'unknown'}). Run this "
                "again when it is done, or give another name."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock_file(data: Path, name: str) -> Path:
    folder = library_folder(data) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
