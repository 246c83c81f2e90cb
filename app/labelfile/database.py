"""A DuckDB database in memory to which label files are attached: read-only, locked down, with time limits.

No other module of the app opens label files.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from app.errors import Unavailable
from app.labelfile.deadline import Deadline, never

QUERY_SECONDS = 20.0  # far above what any useful query takes; a runaway one must not hold a connection
_OPTIONS = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",  # nothing is written
    "threads": "2",  # more threads a query make many small queries slower
}
_LOCK = ("SET enable_external_access = false", "SET lock_configuration = true")


class UnreadableFile(Exception):
    """A label file cannot be attached; the message is the database's."""


class QueryLimitExceeded(Unavailable):
    """A query took too long or needed too much memory."""


class Database:
    """Label files that can be asked together, by many threads, until `close`."""

    def __init__(self, memory_limit: int, deadline: Deadline) -> None:
        self._deadline = deadline
        self._closed = False
        # Connections of one process to a named database in memory share it, as long as one of them is open.
        self._engine = sa.create_engine(
            sa.URL.create("duckdb", database=f":memory:library-{secrets.token_hex(8)}"),
            isolation_level="AUTOCOMMIT",  # nothing here writes, so no statement needs a transaction around it,
            pool_reset_on_return=None,  # none is left open,
            skip_autocommit_rollback=True,  # and none has to be ended
            poolclass=sa.QueuePool,
            pool_size=8,
            max_overflow=32,
            connect_args={"config": _OPTIONS | {"memory_limit": f"{memory_limit}B"}},
        )
        self._keeper = self._engine.connect()

    def attach(self, path: Path, alias: str) -> None:
        """Attach a label file for reading, under the name that it has in statements.

        Raises:
            UnreadableFile: it cannot be read.
        """
        quoted = str(path.absolute()).replace("'", "''").replace(":", r"\:")
        try:
            self._keeper.execute(sa.text(f"ATTACH '{quoted}' AS {alias} (READ_ONLY)"))
        except (sa.exc.SQLAlchemyError, duckdb.Error) as error:
            raise UnreadableFile(_database_message(error, path)) from error

    def lock(self) -> None:
        """Let nothing more be attached, read or set."""
        for statement in _LOCK:
            self._keeper.execute(sa.text(statement))

    @contextmanager
    def connect(self, seconds: float | None = None, unwanted: Callable[[], bool] = never) -> Iterator[sa.Connection]:
        """A connection with a time limit, for one request.

        Args:
            seconds: the limit; that of the deadline if None.
            unwanted: tells whether nobody waits for the result any more; the query is then interrupted.

        Raises:
            QueryLimitExceeded: it took longer, was unwanted, or needed too much memory.
        """
        limit, seconds = self._deadline.limit, self._deadline.seconds if seconds is None else seconds
        try:
            with self._engine.connect() as connection, limit(_interrupter(connection), seconds, unwanted):
                yield connection
        except (sa.exc.DBAPIError, OSError) as error:  # OSError: how pyarrow tells what stopped a query
            raise _limit_error(error, seconds) or error from error
        finally:
            if self._closed:
                self._engine.pool.dispose()

    def close(self) -> None:
        """Close idle connections now, and busy ones as soon as their request ends; then the files are let go."""
        self._closed = True
        self._keeper.close()
        self._engine.pool.dispose()  # not engine.dispose(), which leaves busy connections to a pool that nobody empties


def timeout_error(seconds: float) -> QueryLimitExceeded:
    """The refusal of what takes longer than `seconds`."""
    return QueryLimitExceeded(f"This took longer than {seconds:g} seconds. Ask for less.")


def _interrupter(connection: sa.Connection) -> Callable[[], None]:
    """Return the function that stops a connection's running query from another thread."""
    interrupt: Callable[[], None] = connection.connection.driver_connection.interrupt  # type: ignore[union-attr]
    return interrupt


def _limit_error(error: Exception, seconds: float) -> QueryLimitExceeded | None:
    """Return the refusal for a query that ran out of time or memory; None for any other error of the database."""
    message = str(getattr(error, "orig", None) or error)
    if "INTERRUPT" in message:
        return timeout_error(seconds)
    if "Out of Memory" in message:
        return QueryLimitExceeded("This needs more memory than NEURONYM_MEMORY_LIMIT allows.")
    return None


def _database_message(error: Exception, path: Path) -> str:
    """The first line of the database's own message, without the statement and the links that follow it.

    Pages show it, so of the file's path only the name stays.
    """
    text: Any = getattr(error, "orig", None) or error
    line = str(text).splitlines()[0].replace(str(path.absolute()), path.name)
    if "version number" in line:
        return f"it was written by another version of DuckDB than {duckdb.__version__} ({line})."
    return line.rstrip(".") + "."
