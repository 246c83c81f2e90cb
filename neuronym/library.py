"""The library of a data folder: a label file for each model and each pair, and the catalogue of which are current.

Label files never change and have names of their own, so the catalogue alone decides what is served: it is a small JSON
file that is replaced in one step. Knows paths and names; opens no label file.
"""

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

FOLDER = "library"
UNFINISHED = ".mapping"  # beside it: the shards of mapping runs that have not come to their end
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")  # of a file or folder here: never hidden, never a way out

FileKind = Literal["model", "pair"]
KINDS: tuple[FileKind, FileKind] = ("model", "pair")


class LibraryError(Exception):
    """The catalogue cannot be read; the message says why, and what to do."""


class LabelFileEntry(BaseModel):
    """A current label file: the name of its model or pair, and the run that wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    run: str

    @field_validator("name", "run")
    @classmethod
    def _names_a_file(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError(f"{value!r} cannot name a file of the library")
        return value


class Catalogue(BaseModel):
    """What is current, each in the order in which it was first mapped; `run` names this state of the library."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    models: tuple[LabelFileEntry, ...] = ()
    pairs: tuple[LabelFileEntry, ...] = ()

    def entries(self, kind: FileKind) -> tuple[LabelFileEntry, ...]:
        """The entries of the models, or of the pairs."""
        return self.models if kind == "model" else self.pairs

    def find(self, kind: FileKind, name: str) -> LabelFileEntry | None:
        """The entry of the model or pair `name`; None if there is none."""
        return next((entry for entry in self.entries(kind) if entry.name == name), None)


EMPTY = Catalogue(run="")


def is_name(text: str) -> bool:
    """Whether a text can name a model, a pair or a run, and with it a file of the library."""
    return _NAME.fullmatch(text) is not None and len(text) < 200


def library_folder(data: Path) -> Path:
    """The folder of label files and catalogue in a data folder."""
    return data / FOLDER


def catalogue_file(data: Path) -> Path:
    """The path of the catalogue of a data folder."""
    return library_folder(data) / "catalogue.json"


def names_folder(data: Path, kind: FileKind, name: str) -> Path:
    """The folder with the label files of one model or pair."""
    return library_folder(data) / f"{kind}s" / name


def label_file(data: Path, kind: FileKind, entry: LabelFileEntry) -> Path:
    """The path of a label file."""
    return names_folder(data, kind, entry.name) / f"{entry.run}.duckdb"


def read_catalogue(data: Path) -> Catalogue:
    """Read what is current in a data folder; EMPTY where nothing has been published yet.

    Raises:
        LibraryError: the catalogue cannot be read.
    """
    path = catalogue_file(data)
    try:
        return Catalogue.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return EMPTY
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no catalogue of this version"
        raise LibraryError(f"{path} cannot be read: {reason}. Put it back from a copy, or map again.") from error


def replace_catalogue(data: Path, catalogue: Catalogue) -> None:
    """Replace the catalogue in one step: readers see the one before or this one, whole, after a crash too.

    Raises:
        OSError: the disk is full, or the folder may not be written.
    """
    path = catalogue_file(data)
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w") as file:
        file.write(catalogue.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
