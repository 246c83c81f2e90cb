"""A label file on disk: opened for reading, or written under another name and given its own once it is whole.

The only module of the worker that opens a label file. DuckDB fills all the memory that it is allowed with pages it may
read again, so its limit is what the file's number of search rows needs, and never more than the setting.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
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

from neuronym.label_tables import build
from neuronym.settings import ROOT
from worker.errors import LabelFileError

BEFORE = "before"  # what a file of before is called in statements that write its next
BUILDING = ".building-"  # begins the name of a file that is not whole yet
ROW_GROUP = 40_960  # rows: at 80 million a search reads a token in a third of the time that smaller or larger ones take
LEAST_MEMORY = 240_000_000  # bytes; with less DuckDB is slower, and mostly uses memory that its limit does not count
BYTES_PER_ROW = 14  # of memory, for each search row of the file
BYTES_PER_SORTED_ROW = 140  # of memory, for each search row being sorted: more than twice what it takes

# Of a database that a stranger's file is attached to.
_NO_EXTENSIONS = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
_LOCKS = (
    "SET disabled_optimizers = 'statistics_propagation'",  # a file may lie about the least and the largest of a column
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


@dataclass(frozen=True)
class NewFile:
    """A label file that is being written; `memory` is the most that DuckDB may use, in bytes."""

    connection: sa.Connection
    memory: int

    def limit_memory(self, search_rows: int) -> int:
        """Limit DuckDB to the memory that `search_rows` need; return how many of them it can sort at once."""
        limit = min(self.memory, max(LEAST_MEMORY, BYTES_PER_ROW * search_rows))
        self.connection.execute(sa.text(f"SET memory_limit = '{limit}B'"))
        return limit // BYTES_PER_SORTED_ROW


@contextmanager
def read_file(path: Path) -> Iterator[sa.Connection]:
    """Open a label file for reading.

    Raises:
        LabelFileError: it cannot be read.
    """
    with _open(path, {}, read_only=True) as connection:
        yield connection


def read_revision(path: Path) -> str | None:
    """The schema revision that a label file states.

    Raises:
        LabelFileError: it cannot be read.
    """
    with read_file(path) as connection:
        revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
        return revision


@contextmanager
def read_foreign_file(path: Path, memory: int) -> Iterator[sa.Connection]:
    """Open a file that somebody else made for reading, locked down: no extensions, no other files, nothing to unlock.

    Its tables are `file.NAME`. Nothing of it is found by a plain name: a macro cannot pass for a function of DuckDB.

    Args:
        memory: the most that DuckDB may use, in bytes.

    Raises:
        LabelFileError: it cannot be read.
    """
    config = {"memory_limit": f"{memory}B", "threads": "2", "temp_directory": "", **_NO_EXTENSIONS}
    with _attach(path, config, "READ_ONLY") as connection:
        for lock in _LOCKS:
            connection.execute(sa.text(lock))
        connection.commit()
        yield connection


@contextmanager
def empty_file() -> Iterator[sa.Connection]:
    """A label file in memory with empty tables, which are `file.NAME`: what a file of this version looks like."""
    engine = sa.create_engine("duckdb:///:memory:", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("ATTACH '\\:memory\\:' AS file"))
        connection.execute(sa.text("USE file"))
        connection.commit()
        migrate(connection)
        yield connection
    engine.dispose()


@contextmanager
def write_file(path: Path, run: str, memory: int, sources: Mapping[str, Path] | None = None) -> Iterator[NewFile]:
    """Open a new label file with empty tables; after the block it is closed and whole, and called `path`.

    Args:
        run: the id of the file, which its table `build` states.
        memory: the most that DuckDB may use, in bytes.
        sources: label files that can be read from meanwhile, by the name they have in statements.

    Raises:
        LabelFileError: the disk is full, the memory too small, or a source cannot be read.
    """
    unfinished = path.with_name(f"{BUILDING}{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    config = {"memory_limit": f"{memory}B", "temp_directory": f"{unfinished}.spill"}
    try:
        with _open(unfinished, config) as connection:
            migrate(connection)
            for name, source in (sources or {}).items():
                connection.execute(sa.text(f"ATTACH {quoted(source)} AS {name} (READ_ONLY)"))
            yield NewFile(connection, memory)
            connection.execute(sa.insert(build).values(run=run, built_at=now(), versions=json.dumps(_versions())))
            connection.commit()
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        remove_unfinished(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what a build left that was cut off; nobody else may be building into `folder`."""
    for leftover in folder.glob(f"{BUILDING}*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def migrate(connection: sa.Connection) -> None:
    """Bring an empty file to the current schema."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    command.upgrade(config, "head")
    connection.commit()


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def quoted(path: Path) -> str:
    """A path as a literal of SQL; colons are escaped, as SQLAlchemy takes them for parameters."""
    return "'" + str(path.resolve()).replace("'", "''").replace(":", r"\:") + "'"


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("neuronym", "duckdb", "duckdb-sqlalchemy", "sqlalchemy", "alembic")}


@contextmanager
def _open(path: Path, config: dict[str, str], read_only: bool = False) -> Iterator[sa.Connection]:
    """Attach a label file and use it, so that its tables go by their names alone."""
    with _attach(path, config, "READ_ONLY" if read_only else f"ROW_GROUP_SIZE {ROW_GROUP}") as connection:
        connection.execute(sa.text("USE file"))
        connection.commit()
        yield connection
        connection.commit()
        if not read_only:
            connection.execute(sa.text("CHECKPOINT file"))


@contextmanager
def _attach(path: Path, config: dict[str, str], how: str) -> Iterator[sa.Connection]:
    """Attach a label file to a database in memory; turn errors of disk, memory and file into LabelFileError."""
    engine = sa.create_engine("duckdb:///:memory:", connect_args={"config": config}, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(f"ATTACH {quoted(path)} AS file ({how})"))
            connection.commit()
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
    return f"The label file {path.name.removeprefix(BUILDING)} could not be built or read: {cause}"
