"""A label file that somebody else made, taken into the library: hostile until each value of it is checked.

Nothing is taken over but rows, into a file of our own; what is derived from them is derived here. The library stays as
it was until that file is whole.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from neuronym.library import FileKind, label_file, names_folder
from neuronym.settings import Settings
from worker.errors import ForeignFileError, LabelFileError
from worker.labelfile.foreign_schema import check_schema
from worker.labelfile.foreign_texts import count_rows
from worker.labelfile.label_file import now, read_foreign_file
from worker.library.added_model import AddedModel
from worker.library.added_pair import AddedPair
from worker.library.current import read_library, remove_leftovers
from worker.library.data_folder import check_data_folder
from worker.library.holds import hold
from worker.library.publish import NewFiles
from worker.mapping.shards import writing

NOWHERE: Mapping[str, str] = {}
AGAIN = "Free some space and run the same command."


@dataclass(frozen=True)
class Outcome:
    """What was added, in lines for people, and the library's new run id."""

    lines: list[str]
    run: str


def add_file(path: Path, settings: Settings, name: str | None = None, origin: Mapping[str, str] = NOWHERE) -> Outcome:
    """Take the model or pair of a file into the library.

    Args:
        name: what to call it; as in the file by default.
        origin: more of where the file came from, to be recorded with its name and sha256: the repository and commit.

    Raises:
        ForeignFileError: the file is not what a label file of this version is.
        LabelFileError: the library has another of this name or lacks a model of the pair, another run works on it, or a
            file cannot be read or built.
    """
    data = settings.data
    _check_file(path)
    check_data_folder(data)
    origin = {**origin, "file": path.name.encode(errors="replace").decode(), "sha256": _sha256(path), "at": now()}
    with ExitStack() as until_built:
        with read_foreign_file(path, settings.memory_limit) as connection, _readable():
            check_schema(connection)
            addition = _addition(connection, name)
            until_built.enter_context(hold(data, addition.holds))
            addition.check_admitted(connection, data)
            shards = until_built.enter_context(_shard_folder(data, addition.kind, addition.name))
            with writing(shards.parent, AGAIN):
                addition.copy(connection, shards)
        files = NewFiles(settings)
        addition.build(files, shards, origin)
        run = files.make_current()
    return Outcome([*addition.lines(), f"sha256 {origin['sha256']}"], run)


def _addition(connection: sa.Connection, name: str | None) -> AddedModel | AddedPair:
    """What the file holds, its small tables checked."""
    read = AddedPair.read if count_rows(connection, "pair") else AddedModel.read
    return read(connection, name)


def _check_file(path: Path) -> None:
    """Refuse what is no file by itself."""
    if not path.is_file():
        raise LabelFileError(f"There is no file {path}, or it is none. Give the path of a label file.")
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        raise ForeignFileError(f"beside it lies {log.name}, with changes that are not in it")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LabelFileError(f"{path} cannot be read: {error.strerror}.") from error


@contextmanager
def _readable() -> Iterator[None]:
    """Turn the errors of texts that are no texts into a refusal."""
    try:
        yield
    except (UnicodeError, pa.ArrowInvalid) as error:
        raise ForeignFileError("a text in it is not UTF-8") from error


@contextmanager
def _shard_folder(data: Path, kind: FileKind, name: str) -> Iterator[Path]:
    """A folder for the rows meanwhile, beside the current file of a name that is held; what a run left goes as well."""
    place = names_folder(data, kind, name)
    try:
        with writing(place.parent, AGAIN):
            shutil.rmtree(place / ".added", ignore_errors=True)
            (place / ".added").mkdir(parents=True)
        yield place / ".added"
    finally:
        entry = read_library(data).find(kind, name)
        remove_leftovers(place, label_file(data, kind, entry) if entry else None)
