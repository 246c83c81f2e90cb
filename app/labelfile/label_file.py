"""One open label file. The only module of the app that opens one."""

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
from app.labelfile.summary import Holdings, read_holdings
from app.labelfile.vocabulary import Vocabulary
from neuronym.contract import ModelSummary
from neuronym.label_tables import REVISION, token, tokenizer

if TYPE_CHECKING:
    import pyarrow as pa


QUERY_SECONDS = 20.0  # far above any honest question; a runaway one must not hold a connection
BATCH_ROWS = 65_536  # of a table that is read to its end
MEND = "Map a model with `make map`, or `neuronym-worker map demo`."
_LOCKED_DOWN = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "threads": "2",  # more threads a query make many small queries slower
}


class NoLabelFile(Unavailable):
    """Nothing is mapped yet, or the file there cannot be read by this version."""


class TooMuch(Unavailable):
    """A question that took too long or too much memory."""


class LabelFile:
    """One open label file. Raises NoLabelFile when `path` is not one that this version can read."""

    def __init__(self, path: Path, memory_limit: int, deadline: Deadline) -> None:
        self.path = path
        self._deadline = deadline
        self._closed = False
        self._lock = threading.Lock()
        self._vocabularies: dict[str, Vocabulary] = {}
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
            raise NoLabelFile(f"{path.name} cannot be read: {_reason(error)} {MEND}") from error
        except NoLabelFile:
            self.close()
            raise

    @property
    def run(self) -> str:
        """The file's id, which every answer carries."""
        return self.holdings.run

    @property
    def models(self) -> dict[str, ModelSummary]:
        """Mapped models by name."""
        return self.holdings.models

    @contextmanager
    def connect(self, seconds: float | None = None, unwanted: Callable[[], bool] = never) -> Iterator[sa.Connection]:
        """A read-only connection of this request alone, with a limit on its time; TooMuch when that is reached."""
        limit, seconds = self._deadline.limit, self._deadline.seconds if seconds is None else seconds
        try:
            with self._engine.connect() as connection, limit(_interrupter(connection), seconds, unwanted):
                yield connection
        except (sa.exc.DBAPIError, OSError) as error:  # OSError: how pyarrow tells what stopped a query
            raise _too_much(error, seconds) or error from error
        finally:
            if self._closed:
                self._engine.pool.dispose()

    def batches(
        self, statements: Iterable[sa.Select[Any]], seconds: float, unwanted: Callable[[], bool]
    ) -> "Iterator[pa.RecordBatch]":
        """What statements of the same columns find, one after the other, read as it is asked for.

        An empty batch if they find nothing. TooMuch: not done after so many seconds, or `unwanted`.
        """
        from pyarrow import RecordBatch  # takes longer to load than a search

        ends = monotonic() + seconds
        with self.connect(seconds, unwanted) as connection:
            found = 0
            try:
                for statement in statements:
                    reader = connection.execute(statement).cursor.to_arrow_reader(BATCH_ROWS)
                    for batch in reader:
                        if monotonic() > ends or unwanted():  # short statements slip past an interrupt
                            raise _too_long(seconds)
                        found += 1
                        yield batch
                if not found:
                    yield RecordBatch.from_pylist([], schema=reader.schema)
            finally:
                connection.invalidate()  # what was not read must not reach the next one

    def vocabulary(self, model: str) -> Vocabulary:
        """The vocabulary of a mapped model, read when it is first needed."""
        hash_ = self.models[model].tokenizer
        with self._lock:
            if hash_ not in self._vocabularies:
                self._vocabularies[hash_] = self._read(hash_)
            return self._vocabularies[hash_]

    def vocabularies(self, models: Iterable[str]) -> dict[str, Vocabulary]:
        """The vocabularies of these models, by hash."""
        return {vocabulary.hash: vocabulary for vocabulary in map(self.vocabulary, models)}

    def _read(self, hash_: str) -> Vocabulary:
        entries = sa.select(token.c.id, token.c.text, token.c.folded, token.c.kind)
        with self.connect() as connection:
            found = sa.select(tokenizer.c.id, tokenizer.c.json).where(tokenizer.c.hash == hash_)
            id_, serialised = connection.execute(found).one()
            return Vocabulary(hash_, connection.execute(entries.where(token.c.tokenizer == id_)), serialised)

    def close(self) -> None:
        """Close idle connections now, and busy ones as soon as their request ends."""
        self._closed = True
        self._engine.pool.dispose()  # not the engine's: that would leave busy connections to a pool nobody empties


def _interrupter(connection: sa.Connection) -> Callable[[], None]:
    """What stops a connection's running query from another thread."""
    interrupt: Callable[[], None] = connection.connection.driver_connection.interrupt  # type: ignore[union-attr]
    return interrupt


def _too_much(error: Exception, seconds: float) -> TooMuch | None:
    """Why the database gave up, if it ran out of time or memory."""
    said = str(getattr(error, "orig", None) or error)
    if "INTERRUPT" in said:
        return _too_long(seconds)
    return TooMuch("This needs more memory than NEURONYM_MEMORY_LIMIT allows.") if "Out of Memory" in said else None


def _too_long(seconds: float) -> TooMuch:
    return TooMuch(f"This took longer than {seconds:g} seconds. Ask for less.")


def _check_revision(connection: sa.Connection, path: Path) -> None:
    found = connection.execute(sa.text("select version_num from alembic_version")).scalar()
    if found == REVISION:
        return
    mend = MEND if str(found) < REVISION else "Update Neuronym, or map again with this version."
    raise NoLabelFile(f"{path.name} has schema revision {found}; this version reads {REVISION}. {mend}")


def _reason(error: Exception) -> str:
    """The database's own sentence, without the statement and the links around it."""
    text = str(getattr(error, "orig", None) or error).splitlines()[0]
    if "version number" in text:
        return f"it was written by another version of DuckDB than {duckdb.__version__} ({text})."
    return text.rstrip(".") + "."
