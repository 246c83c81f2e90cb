"""What a local hub holds, what it did, and what is to go wrong."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

TOKENS = {"hf_secretoftheowner": "olga", "hf_secretofareader": "rita"}


@dataclass
class Dataset:
    """A dataset repository: what each commit holds, oldest first, and the messages of the commits."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def commit(self, changes: dict[str, bytes], message: str = "") -> str:
        """Add a commit; return its id."""
        files = {**(self.commits[self.head] if self.commits else {}), **changes}
        digest = hashlib.sha1(f"{len(self.commits)} {sorted(files)}".encode(), usedforsecurity=False).hexdigest()
        self.commits[digest] = files
        self.messages.append(message)
        return digest


@dataclass
class Hub:
    """What the hub holds, what it did, and what is to go wrong."""

    address: str = ""
    datasets: dict[str, Dataset] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)  # of LFS, by sha256
    requests: list[str] = field(default_factory=list)  # "METHOD /path"
    sent: int = 0  # bytes of files that left
    came: int = 0  # bytes of files that came
    secrets_to_storage: int = 0  # requests to where files lie that carried a token
    in_git: bool = False  # label files are kept in git, as small ones can be
    part: int | None = None  # uploads in parts of so many bytes
    break_after: list[int] = field(default_factory=list)  # bytes after which each next download breaks
    break_uploads: int = 0  # that break
    refuse: dict[str, int] = field(default_factory=dict)  # status by a part of the path
    stated_size: int | None = None  # of label files, whatever they have
    change_byte: int | None = None  # of each file on its way

    def is_lfs(self, name: str) -> bool:
        return name.endswith(".duckdb") and not self.in_git


def blob_hash(content: bytes) -> str:
    """The hash that git gives this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
