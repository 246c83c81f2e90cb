"""An open label file: connections with time limits, row batches and vocabularies.

No other module of the app opens label files.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import duckdb
import sqlalchemy as sa

from app.errors import Unavailable
from app.labelfile.deadline import Deadline, never
from app.labelfile.row_numbers import RowNumbers, UnsortedTable, select_runs
from app.labelfile.statements import Statements
from app.labelfile.summary import Holdings, read_holdings
from app.labelfile.vocabulary import VocabularyIndex
from neuronym.contract import ModelSummary
from neuronym.label_tables import REVISION, token, tokenizer

if TYPE_CHECKING:
    import pyarrow as pa


QUERY_SECONDS = 20.0  # far above what any useful query takes; a runaway one must not hold a connection
BATCH_ROWS = 65_536  # rows a batch of a table that is read to its end
MEND = "Map a model with `make map`, or `neuronym-worker map demo`."
_LOCKED_DOWN = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "threads": "2",  # more threads a query make many small queries slower
}


class NoLabelFile(Unavailable):
    """Nothing is mapped yet, or this version cannot read the label file."""


class QueryLimitExceeded(Unavailable):
    """A query took too long or needed too much memory."""


class LabelFile:
    """An open label file. Raises NoLabelFile when this version cannot read the file at `path`."""

    def __init__(self, path: Path, memory_limit: int, deadline: Deadline) -> None:
        self.path = path
        self._deadline = deadline
        self._closed = False
        self._lock = threading.Lock()
        self._vocabularies: dict[str, VocabularyIndex] = {}
        self._row_numbers: dict[str, RowNumbers] = {}
        self.statements: Statements[Any] = Statements()
        self._engine = sa.create_engine(
            sa.URL.create("duckdb", database=str(path)),
            isolation_level="AUTOCOMMIT",  # nothing here writes, so no statement needs a transaction around it,
            pool_reset_on_return=None,  # and none is left open
            pool_size=8,
            max_overflow=32,
            connect_args={"read_only": True, "config": _LOCKED_DOWN | {"memory_limit": f"{memory_limit}B"}},
        )
        try:
            with self._engine.connect() as connection:
                _check_revision(connection, path)
                self.holdings: Holdings = read_holdings(connection)
        except (sa.exc.SQLAlchemyError, duckdb.Error) as error:
            self.close()
            raise NoLabelFile(f"{path.name} cannot be read: {_database_message(error)} {MEND}") from error
        except NoLabelFile:
            self.close()
            raise

    @property
    def run(self) -> str:
        """The label file's id, which every answer carries."""
        return self.holdings.run

    @property
    def models(self) -> dict[str, ModelSummary]:
        """Mapped models by name."""
        return self.holdings.models

    @contextmanager
    def connect(self, seconds: float | None = None, unwanted: Callable[[], bool] = never) -> Iterator[sa.Connection]:
        """A read-only connection with a time limit, for one request.

        Args:
            seconds: the limit; QUERY_SECONDS if None.
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

    def batches(
        self, statements: Iterable[sa.Select[Any]], seconds: float, unwanted: Callable[[], bool]
    ) -> "Iterator[pa.RecordBatch]":
        """Run statements of the same columns one after the other and yield their rows in batches, read on demand.

        One empty batch, with the columns, if there are no rows.

        Raises:
            QueryLimitExceeded: not done after `seconds`, or `unwanted`.
        """
        from pyarrow import RecordBatch  # takes longer to load than a search

        deadline = monotonic() + seconds
        with self.connect(seconds, unwanted) as connection:
            yielded = 0
            try:
                for statement in statements:
                    reader = connection.execute(statement).cursor.to_arrow_reader(BATCH_ROWS)
                    for batch in reader:
                        if monotonic() > deadline or unwanted():  # short statements slip past an interrupt
                            raise _timeout_error(seconds)
                        yielded += 1
                        yield batch
                if not yielded:
                    yield RecordBatch.from_pylist([], schema=reader.schema)
            finally:
                connection.invalidate()  # unread rows must not reach the next user of the connection

    def vocabulary(self, model: str) -> VocabularyIndex:
        """The vocabulary of a mapped model; read on the first call, then kept in memory."""
        hash_ = self.models[model].tokenizer
        with self._lock:
            if hash_ not in self._vocabularies:
                self._vocabularies[hash_] = self._read_vocabulary(hash_)
            return self._vocabularies[hash_]

    def vocabularies(self, models: Iterable[str]) -> dict[str, VocabularyIndex]:
        """The vocabularies of several models, by hash."""
        return {vocabulary.hash: vocabulary for vocabulary in map(self.vocabulary, models)}

    def row_numbers(self, table: sa.Table) -> RowNumbers:
        """The row numbers of `label` or `drift`; read on the first call, then kept in memory.

        Raises:
            NoLabelFile: the table's rows are not in the order in which they were written.
        """
        with self._lock:
            if table.name not in self._row_numbers:
                with self.connect() as connection:
                    runs = connection.execute(select_runs(table))
                    try:
                        self._row_numbers[table.name] = RowNumbers(runs)
                    except UnsortedTable as error:
                        raise NoLabelFile(f"{self.path.name} was changed after it was written. {MEND}") from error
            return self._row_numbers[table.name]

    def _read_vocabulary(self, hash_: str) -> VocabularyIndex:
        entries = sa.select(token.c.id, token.c.text, token.c.folded, token.c.kind)
        with self.connect() as connection:
            statement = sa.select(tokenizer.c.id, tokenizer.c.json).where(tokenizer.c.hash == hash_)
            id_, serialised = connection.execute(statement).one()
            return VocabularyIndex(hash_, connection.execute(entries.where(token.c.tokenizer == id_)), serialised)

    def close(self) -> None:
        """Close idle connections now, and busy ones as soon as their request ends."""
        self._closed = True
        self._engine.pool.dispose()  # not engine.dispose(), which leaves busy connections to a pool that nobody empties


def _interrupter(connection: sa.Connection) -> Callable[[], None]:
    """Return the function that stops a connection's running query from another thread."""
    interrupt: Callable[[], None] = connection.connection.driver_connection.interrupt  # type: ignore[union-attr]
    return interrupt


def _limit_error(error: Exception, seconds: float) -> QueryLimitExceeded | None:
    """Return the refusal for a query that ran out of time or memory; None for any other error of the database."""
    message = str(getattr(error, "orig", None) or error)
    if "INTERRUPT" in message:
        return _timeout_error(seconds)
    if "Out of Memory" in message:
        return QueryLimitExceeded("This needs more memory than NEURONYM_MEMORY_LIMIT allows.")
    return None


def _timeout_error(seconds: float) -> QueryLimitExceeded:
    return QueryLimitExceeded(f"This took longer than {seconds:g} seconds. Ask for less.")


def _check_revision(connection: sa.Connection, path: Path) -> None:
    revision = connection.execute(sa.text("select version_num from alembic_version")).scalar()
    if revision == REVISION:
        return
    mend = MEND if str(revision) < REVISION else "Update Neuronym, or map again with this version."
    raise NoLabelFile(f"{path.name} has schema revision {revision}; this version reads {REVISION}. {mend}")


def _database_message(error: Exception) -> str:
    """The first line of the database's own message, without the statement and the links that follow it."""
    text = str(getattr(error, "orig", None) or error).splitlines()[0]
    if "version number" in text:
        return f"it was written by another version of DuckDB than {duckdb.__version__} ({text})."
    return text.rstrip(".") + "."
