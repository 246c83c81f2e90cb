"""The library as one state of its catalogue has it: its files open together, what they hold, its vocabularies.

A file that cannot be read is left out and told of; the others are served.
"""

import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from app.errors import Unavailable
from app.labelfile.counterpart_records import CounterpartRecords
from app.labelfile.database import Database, UnreadableFile, timeout_error
from app.labelfile.deadline import Deadline, never
from app.labelfile.open_file import OpenFile, read_file
from app.labelfile.row_numbers import RowNumbers, UnsortedTable, select_runs
from app.labelfile.statements import Statements
from app.labelfile.summary import Holdings, Pair, hold
from app.labelfile.tables import FileTables, tables_of
from app.labelfile.vocabulary import VocabularyIndex
from neuronym.contract import Kind, ModelSummary
from neuronym.library import KINDS, Catalogue, FileKind, label_file

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

BATCH_ROWS = 65_536  # rows a batch of a table that is read to its end
MEND = "Map a model with `make map`, or `neuronym-worker map demo`."


class NoLabelFile(Unavailable):
    """Nothing is mapped yet, or this version can read none of the label files."""


class Library:
    """The files of a catalogue, open until the last request on them has ended, or `close`.

    Raises NoLabelFile when there are some and none of them can be read.
    """

    def __init__(
        self, data: Path, catalogue: Catalogue, memory_limit: int, deadline: Deadline, older: "Library | None" = None
    ) -> None:
        """`older` is the state before: what it has read of files that stay current is taken over."""
        self.catalogue = catalogue
        self.statements: Statements[Any] = Statements()
        self.unreadable: dict[tuple[FileKind, str], str] = {}
        self._data = data
        self._lock = threading.Lock()
        self._database = Database(memory_limit, deadline)
        self._files: dict[str, OpenFile] = {}
        self._vocabularies: dict[str, VocabularyIndex] = {}
        self._row_numbers: dict[Path, RowNumbers] = {}
        try:
            self._files = {file.tables.alias: file for file in self._open_files()}
            self.holdings: Holdings = hold(catalogue.run, list(self._files.values()))
            self._database.lock()
            if self.unreadable and not self.models:
                raise NoLabelFile(f"{next(iter(self.unreadable.values()))} {MEND}")
        except BaseException:
            self._database.close()
            raise
        # A request that began on this state may open a connection late: the files are let go with the last reference.
        self.close = weakref.finalize(self, self._database.close)
        self._tables = {(file.kind, file.entry.name): file.tables for file in self._files.values()}
        if older:
            self._take_over(older)

    def _take_over(self, older: "Library") -> None:
        """Keep what was read of the files and tokenizers that are still here."""
        paths, hashes = {file.path for file in self._files.values()}, {one.tokenizer for one in self.models.values()}
        with older._lock:  # requests that still run on it read more
            self._row_numbers = {path: numbers for path, numbers in older._row_numbers.items() if path in paths}
            self._vocabularies = {hash_: index for hash_, index in older._vocabularies.items() if hash_ in hashes}

    def _open_files(self) -> Iterator[OpenFile]:
        for kind in KINDS:
            for place, entry in enumerate(self.catalogue.entries(kind)):
                path, alias = label_file(self._data, kind, entry), f"{kind}_{place}"
                try:
                    self._database.attach(path, alias)
                    with self._database.connect() as connection:
                        yield read_file(connection, kind, entry, tables_of(alias), path)
                except UnreadableFile as error:
                    self.unreadable[kind, entry.name] = f"The {kind} {entry.name} cannot be read: {error}"
                    log.error("%s (%s)", self.unreadable[kind, entry.name], path)

    @property
    def run(self) -> str:
        """The id of the library's state, which every answer carries."""
        return self.holdings.run

    @property
    def size(self) -> int:
        """The size of all files, in bytes."""
        return sum(file.path.stat().st_size for file in self._files.values())

    @property
    def models(self) -> dict[str, ModelSummary]:
        """Mapped models by name."""
        return self.holdings.models

    def tables(self, model: str) -> FileTables:
        """The tables of a model's file."""
        return self._tables["model", model]

    def pair_tables(self, pair: Pair) -> FileTables:
        """The tables of a pair's file."""
        return self._tables["pair", pair.name]

    def counterparts(self, pair: Pair) -> CounterpartRecords:
        """The counterparts of a pair's labels, by the row of a label in its table `drift`."""
        records = self._files[self.pair_tables(pair).alias].counterparts
        assert records is not None, "every pair's file is opened with them"
        return records

    def connect(
        self, seconds: float | None = None, unwanted: Callable[[], bool] = never
    ) -> AbstractContextManager[sa.Connection]:
        """A connection with a time limit, for one request; see `Database.connect`."""
        return self._database.connect(seconds, unwanted)

    def batches(
        self, statements: Iterable[sa.Executable], seconds: float, unwanted: Callable[[], bool]
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
                            raise timeout_error(seconds)
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
                self._vocabularies[hash_] = self._read_vocabulary(hash_, self.tables(model))
            return self._vocabularies[hash_]

    def vocabularies(self, models: Iterable[str]) -> dict[str, VocabularyIndex]:
        """The vocabularies of several models, by hash."""
        return {vocabulary.hash: vocabulary for vocabulary in map(self.vocabulary, models)}

    def row_numbers(self, table: sa.Table) -> RowNumbers:
        """The row numbers of a table `label` or `drift` of one file; read on the first call, then kept in memory.

        Raises:
            NoLabelFile: the table's rows are not in the order in which they were written.
        """
        path = self._files[str(table.schema)].path
        with self._lock:
            if path not in self._row_numbers:
                with self.connect() as connection:
                    try:
                        self._row_numbers[path] = RowNumbers(connection.execute(select_runs(table)))
                    except UnsortedTable as error:
                        raise NoLabelFile(f"{path.name} was changed after it was written. {MEND}") from error
            return self._row_numbers[path]

    def _read_vocabulary(self, hash_: str, tables: FileTables) -> VocabularyIndex:
        token = tables.token.c
        entries, kinds = sa.select(token.id, token.text, token.folded, token.kind).order_by(token.place), list(Kind)
        with self.connect() as connection:
            serialised = connection.execute(sa.select(tables.tokenizer.c.json)).scalar_one()
            rows = connection.execute(entries).cursor.fetchall()  # SQLAlchemy's rows take four times as long
            return VocabularyIndex(
                hash_, ((id_, text, folded, kinds[kind]) for id_, text, folded, kind in rows), serialised
            )
