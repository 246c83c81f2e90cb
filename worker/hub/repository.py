"""A dataset repository as the hub tells of it: its commit, its label files with their hashes, and what its card says.

All of it is somebody else's word. Moves no file.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from huggingface_hub import DatasetInfo, HfApi
from huggingface_hub import errors as hub
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuronym.library import FileKind, is_name
from worker.errors import LabelFileError
from worker.hub.refusals import NOT_UNDERSTOOD, hub_refusals

CARD = "README.md"
ENDING = ".duckdb"
RECORD = "neuronym"  # the key of our record in the card

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileRecord(BaseModel):
    """What the card says of one file: its name and kind, its hash, and the run of the library that it is of."""

    model_config = ConfigDict(frozen=True)

    file: str = Field(max_length=300)
    kind: FileKind
    sha256: Digest
    bytes: int = Field(ge=0)
    run: str = Field(max_length=300)


class CardRecord(BaseModel):
    """What a card that was written here says of its repository: the files, models before pairs, and their schema."""

    model_config = ConfigDict(frozen=True)

    schema_revision: str = Field(max_length=20)
    files: list[FileRecord] = Field(min_length=1, max_length=100)


@dataclass(frozen=True)
class StoredFile:
    """A file of the repository: its size, and its sha256, or the hash that git gives a small one."""

    name: str
    size: int
    sha256: str | None
    blob: str | None

    @property
    def key(self) -> str:
        """What tells this content from any other."""
        return self.sha256 or self.blob or ""

    def agrees(self, record: FileRecord) -> bool:
        """Whether the card says the same of it, as far as the hub tells."""
        return self.size == record.bytes and self.sha256 in (None, record.sha256)

    def matches(self, path: Path) -> bool:
        """Whether a file has this content."""
        if self.sha256 is not None:
            return sha256(path) == self.sha256
        return blob_hash(path.read_bytes()) == self.blob  # small, or it were in LFS


@dataclass(frozen=True)
class Repository:
    """A repository at one commit; `record` is that of its card, if it has one that can be read."""

    name: str
    commit: str
    private: bool
    files: tuple[StoredFile, ...]
    record: CardRecord | None

    def find(self, name: str) -> StoredFile | None:
        """The file of this name, if there is one."""
        return next((file for file in self.files if file.name == name), None)

    @property
    def label_files(self) -> list[StoredFile]:
        """The files that may be label files by their names: in no folder, and named as a library's can be."""
        return [file for file in self.files if file.name.endswith(ENDING) and is_name(file.name)]


def read_repository(name: str, revision: str | None = None) -> Repository:
    """Ask the hub for a repository.

    Raises:
        LabelFileError: there is none, or the hub cannot be asked.
    """
    with hub_refusals(name, revision):
        return _repository(name, HfApi().dataset_info(name, revision=revision, files_metadata=True))


def find_repository(name: str) -> Repository | None:
    """The repository, or None where there is none that this login can see; errors as in `read_repository`."""
    with hub_refusals(name):
        try:
            return _repository(name, HfApi().dataset_info(name, files_metadata=True))
        except hub.GatedRepoError:
            raise
        except hub.RepositoryNotFoundError:
            return None


def sha256(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _repository(name: str, info: DatasetInfo) -> Repository:
    if not is_name(str(info.sha)):
        raise LabelFileError(NOT_UNDERSTOOD)
    record = info.card_data.get(RECORD) if info.card_data else None
    return Repository(name, str(info.sha), bool(info.private), tuple(_stored_files(info)), _card_record(record))


def _stored_files(info: DatasetInfo) -> Iterator[StoredFile]:
    for sibling in info.siblings or ():
        size = sibling.lfs.size if sibling.lfs else sibling.size
        sha256 = sibling.lfs.sha256 if sibling.lfs else None
        if isinstance(size, int) and is_name(str(sha256 or sibling.blob_id)):
            yield StoredFile(sibling.rfilename, size, sha256, sibling.blob_id)


def _card_record(record: Any) -> CardRecord | None:
    try:
        return CardRecord.model_validate(record)
    except ValidationError:
        return None


def blob_hash(content: bytes) -> str:
    """The hash that git gives this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
