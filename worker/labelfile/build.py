"""Shards to a label file: built under a new name, checked, then published by moving the link `current`.

The only module of the worker that opens a label file. A crash at any point leaves the old file served and the shards
on disk. What is not new is copied from the current file. DuckDB fills whatever memory it is allowed with pages it may
read again, so it is allowed what a file of so many search rows needs, and never more than the setting.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import duckdb
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

from neuronym.label_tables import build, metadata
from neuronym.settings import ROOT, Settings
from worker.errors import LabelFileError
from worker.labelfile.completeness import check
from worker.labelfile.contents import Contents, Measured
from worker.mapping.mapping import Mapped
from worker.mapping.pairs import MappedPair
from worker.mapping.shards import ShardFolder

CURRENT = "current"
KEPT = 2  # published files that stay on disk: the one served, and the one before it
LEAST = 240_000_000  # bytes; with less DuckDB gets slower, and what it needs beside its limit is the larger part
OF_FILE = 14  # bytes of memory a search row of the file
OF_SORT = 100  # bytes of memory a search row that is being sorted: twice what it takes


@contextmanager
def current_file(data: Path) -> Iterator[sa.Connection]:
    """A connection to the label file that is served, to read from."""
    with _opened(data / CURRENT, {}, read_only=True) as connection:
        yield connection


@dataclass(frozen=True)
class Additions:
    """What a new label file holds beyond the current one."""

    models: Sequence[Mapped] = ()
    pairs: Sequence[MappedPair] = ()
    measured: Sequence[Measured] = ()

    @property
    def search_rows(self) -> int:
        """How many rows of the file its models' label tokens will be."""
        return sum(model.search_rows for model in self.models)

    @property
    def shards(self) -> list[ShardFolder]:
        """What is not needed once the file is published: layers of a part are, when the rest is mapped."""
        whole: list[Mapped | MappedPair | Measured] = [
            *(model for model in self.models if not model.recipe.layers),
            *(pair for pair in self.pairs if not pair.part),
            *self.measured,
        ]
        return [one.shards for one in whole]


def publish(additions: Additions, settings: Settings) -> str:
    """Build a label file of the current one's contents and what is added, publish it, and return its run id.

    Raises:
        LabelFileError: another build is running, a name is taken, the disk is full, or a count is wrong. The
            current file stays as it was, and the shards stay on disk.
    """
    data = settings.data
    data.mkdir(parents=True, exist_ok=True)
    with _only_builder(data):
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        building = data / f".building-{run}.duckdb"
        with _cleaned_up(building):
            _build(building, data, run, additions, settings.memory_limit)
            _point_current_at(building, data / f"labels-{run}.duckdb")
        _prune(data)
    for shards in additions.shards:
        shards.discard()
    return run


def _build(path: Path, data: Path, run: str, additions: Additions, memory_limit: int) -> None:
    config = {"memory_limit": f"{memory_limit}B", "temp_directory": f"{path}.spill"}
    with _opened(path, config) as connection:
        migrate(connection)
        old = data / CURRENT
        contents = Contents(connection, old.resolve() if old.exists() else None)
        at_once = allow(connection, memory_limit, contents.old_search_rows() + additions.search_rows)
        contents.add_models(additions.models, additions.measured)
        contents.add_pairs(additions.pairs)
        contents.derive(at_once)
        check(connection)
        connection.execute(sa.insert(build).values(run=run, built_at=now(), versions=json.dumps(_versions())))
        connection.commit()
        contents.detach()
        connection.execute(sa.text("CHECKPOINT"))


def migrate(connection: sa.Connection) -> None:
    """Bring an empty file to the current schema."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(ROOT / "migrations"))
    command.upgrade(config, "head")
    connection.commit()


def expected_tables() -> list[str]:
    """Tables that a label file has."""
    return sorted(metadata.tables)


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("neuronym", "duckdb", "duckdb-sqlalchemy", "sqlalchemy", "alembic")}


@contextmanager
def _opened(path: Path, config: dict[str, str], read_only: bool = False) -> Iterator[sa.Connection]:
    """A connection to a label file; what DuckDB says of disks and files becomes a sentence."""
    engine = sa.create_engine(
        f"duckdb:///{path.resolve()}", connect_args={"read_only": read_only, "config": config}, poolclass=sa.NullPool
    )
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, duckdb.Error, OSError) as error:
        raise LabelFileError(_sentence(path, error)) from error
    finally:
        engine.dispose()


def _sentence(path: Path, error: Exception) -> str:
    cause = str(getattr(error, "orig", None) or error).split("\n")[0]
    if "No space left" in cause or "Could not write" in cause:
        return f"The disk of {path.parent} is full. Free some space and run the same command: it goes on where it was."
    if "Out of Memory" in cause or "memory" in cause.lower():
        return f"DuckDB needs more memory than NEURONYM_MEMORY_LIMIT allows ({cause}). Raise it and run again."
    return f"The label file {path.name} could not be built or read: {cause}"


@contextmanager
def _only_builder(data: Path) -> Iterator[None]:
    """Two builds at once would lose one's work: the second is told to wait."""
    with (data / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabelFileError(f"Another build is publishing into {data}. Run this again when it is done.") from error
        yield


@contextmanager
def _cleaned_up(building: Path) -> Iterator[None]:
    """Leave nothing half-built behind."""
    try:
        yield
    finally:
        for leftover in (building, Path(f"{building}.wal")):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(f"{building}.spill", ignore_errors=True)


def _point_current_at(built: Path, final: Path) -> None:
    """Rename the finished file, then replace the link in one step; a new name, because readers cache by path."""
    with built.open("rb") as file:
        os.fsync(file.fileno())
    built.rename(final)
    link = final.with_name(f".{CURRENT}-{final.stem}")
    link.symlink_to(final.name)
    link.replace(final.with_name(CURRENT))


def _prune(data: Path) -> None:
    """Drop all but the newest files, and what a killed build left."""
    by_age = sorted(data.glob("labels-*.duckdb"), key=lambda file: file.stat().st_mtime_ns)  # names tell seconds only
    for old in by_age[:-KEPT]:
        old.unlink()
    for left in data.glob(".building-*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def allow(connection: sa.Connection, most: int, search_rows: int) -> int:
    """Limit DuckDB to what so many search rows need, `most` bytes at most; returns how many of them to sort at once."""
    limit = min(most, max(LEAST, OF_FILE * search_rows))
    connection.execute(sa.text(f"SET memory_limit = '{limit}B'"))
    return limit // OF_SORT
