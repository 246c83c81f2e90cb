"""Build a label file from shards under a new name, check it, and publish it by moving the link `current`.

The only module of the worker that opens a label file. A crash at any point leaves the old file served and the shards
on disk. Everything that is not new is copied from the current file. DuckDB fills all the memory that it is allowed with
pages it may read again, so its limit is what the file's number of search rows needs, and never more than the setting.
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
from worker.labelfile.completeness import check_complete
from worker.labelfile.contents import Contents, MeasuredTable
from worker.mapping.mapping import MappedModel
from worker.mapping.pairs import MappedPair
from worker.mapping.shards import ShardFolder

CURRENT = "current"
KEPT_FILES = 2  # published files that stay on disk: the current file and the one before it
LEAST_MEMORY = 240_000_000  # bytes; with less DuckDB is slower, and mostly uses memory that its limit does not count
BYTES_PER_ROW = 14  # of memory, for each search row of the file
BYTES_PER_SORTED_ROW = 100  # of memory, for each search row being sorted: twice what it takes


@contextmanager
def current_file(data: Path) -> Iterator[sa.Connection]:
    """Open the current label file for reading."""
    with _open_file(data / CURRENT, {}, read_only=True) as connection:
        yield connection


@dataclass(frozen=True)
class Additions:
    """The models, pairs and measurements that a new label file adds to the current one."""

    models: Sequence[MappedModel] = ()
    pairs: Sequence[MappedPair] = ()
    measured: Sequence[MeasuredTable] = ()

    @property
    def search_rows(self) -> int:
        """The number of search rows that the added models have."""
        return sum(model.search_rows for model in self.models)

    @property
    def shards(self) -> list[ShardFolder]:
        """The shards not needed after publishing: all but those of parts of models, which mapping the rest needs."""
        finished: list[MappedModel | MappedPair | MeasuredTable] = [
            *(model for model in self.models if not model.recipe.layers),
            *(pair for pair in self.pairs if not pair.part),
            *self.measured,
        ]
        return [addition.shards for addition in finished]


def publish(additions: Additions, settings: Settings) -> str:
    """Build a label file of the current one's contents and `additions`, publish it, and return its run id.

    Raises:
        LabelFileError: another build is running, a name is taken, the disk is full, or a count is wrong. The
            current file stays as it was, and the shards stay on disk.
    """
    data = settings.data
    data.mkdir(parents=True, exist_ok=True)
    with _hold_build_lock(data):
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        building = data / f".building-{run}.duckdb"
        with _remove_leftovers(building):
            _build(building, data, run, additions, settings.memory_limit)
            _point_current_at(building, data / f"labels-{run}.duckdb")
        _prune(data)
    for shards in additions.shards:
        shards.discard()
    return run


def _build(path: Path, data: Path, run: str, additions: Additions, memory_limit: int) -> None:
    config = {"memory_limit": f"{memory_limit}B", "temp_directory": f"{path}.spill"}
    with _open_file(path, config) as connection:
        migrate(connection)
        old = data / CURRENT
        contents = Contents(connection, old.resolve() if old.exists() else None)
        at_once = limit_memory(connection, memory_limit, contents.old_search_rows() + additions.search_rows)
        contents.add_models(additions.models, additions.measured)
        contents.add_pairs(additions.pairs)
        contents.derive(at_once)
        check_complete(connection)
        connection.execute(sa.insert(build).values(run=run, built_at=now(), versions=json.dumps(_versions())))
        connection.commit()
        contents.detach()
        connection.execute(sa.text("CHECKPOINT"))


def migrate(connection: sa.Connection) -> None:
    """Bring an empty file to the current schema."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    command.upgrade(config, "head")
    connection.commit()


def expected_tables() -> list[str]:
    """The names of a label file's tables."""
    return sorted(metadata.tables)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("neuronym", "duckdb", "duckdb-sqlalchemy", "sqlalchemy", "alembic")}


@contextmanager
def _open_file(path: Path, config: dict[str, str], read_only: bool = False) -> Iterator[sa.Connection]:
    """Open a label file; turn DuckDB's errors of disk, memory and file into a LabelFileError."""
    engine = sa.create_engine(
        sa.URL.create("duckdb", database=str(path.resolve())),  # which leaves every letter of the path as it is
        connect_args={"read_only": read_only, "config": config},
        poolclass=sa.NullPool,
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
def _hold_build_lock(data: Path) -> Iterator[None]:
    """Hold the lock of builds into `data`; raise LabelFileError if another build holds it."""
    with (data / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabelFileError(f"Another build is publishing into {data}. Run this again when it is done.") from error
        yield


@contextmanager
def _remove_leftovers(building: Path) -> Iterator[None]:
    """Remove the half-built file and DuckDB's files beside it at the end."""
    try:
        yield
    finally:
        for leftover in (building, Path(f"{building}.wal")):
            leftover.unlink(missing_ok=True)
        shutil.rmtree(f"{building}.spill", ignore_errors=True)


def _point_current_at(built: Path, final: Path) -> None:
    """Rename the finished file, then replace the link in one step; names are new, because readers cache by path."""
    with built.open("rb") as file:
        os.fsync(file.fileno())
    built.rename(final)
    link = final.with_name(f".{CURRENT}-{final.stem}")
    link.symlink_to(final.name)
    link.replace(final.with_name(CURRENT))


def _prune(data: Path) -> None:
    """Delete all but the newest label files, and the leftovers of killed builds."""
    by_age = sorted(data.glob("labels-*.duckdb"), key=lambda file: file.stat().st_mtime_ns)  # names have whole seconds
    for old in by_age[:-KEPT_FILES]:
        old.unlink()
    for leftover in data.glob(".building-*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def limit_memory(connection: sa.Connection, most: int, search_rows: int) -> int:
    """Limit DuckDB to the memory for `search_rows`, `most` bytes at most; return how many rows it can sort at once."""
    limit = min(most, max(LEAST_MEMORY, BYTES_PER_ROW * search_rows))
    connection.execute(sa.text(f"SET memory_limit = '{limit}B'"))
    return limit // BYTES_PER_SORTED_ROW
