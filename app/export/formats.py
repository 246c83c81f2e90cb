"""Tables as bytes of CSV, JSON lines or Parquet, piece by piece as their rows come.

Knows formats; knows nothing of labels, of databases or of HTTP.
"""

from collections.abc import Callable, Generator, Iterator
from enum import StrEnum

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq


class Format(StrEnum):
    """How a table is written."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


MEDIA_TYPES = {
    Format.csv: "text/csv; charset=utf-8; header=present",
    Format.jsonl: "application/x-ndjson",
    Format.parquet: "application/vnd.apache.parquet",
}
Batches = Iterator[pa.RecordBatch]


def written(batches: Batches, form: Format) -> Generator[bytes]:
    """A table as bytes. Of JSON lines the batches have one column, `line`."""
    return _WRITERS[form](batches)


def _csv(batches: Batches) -> Generator[bytes]:
    return _through(lambda sink, schema: pa_csv.CSVWriter(sink, schema), batches)


def _parquet(batches: Batches) -> Generator[bytes]:
    def writer(sink: pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(sink, schema, compression="zstd")

    return _through(writer, batches)


def _through(
    begin: Callable[[pa.NativeFile, pa.Schema], pa_csv.CSVWriter | pq.ParquetWriter], batches: Batches
) -> Generator[bytes]:
    """What a writer makes of each batch, and of the end."""
    sink, writer = _Sink(), None
    for batch in batches:
        writer = writer or begin(pa.PythonFile(sink, mode="w"), batch.schema)
        writer.write(batch)
        yield sink.taken()
    if writer is not None:
        writer.close()
        yield sink.taken()


def _jsonl(batches: Batches) -> Generator[bytes]:
    for batch in batches:
        lines = batch.column(0).to_pylist()
        if lines:
            yield ("\n".join(lines) + "\n").encode()


_WRITERS: dict[Format, Callable[[Batches], Generator[bytes]]] = {
    Format.csv: _csv,
    Format.jsonl: _jsonl,
    Format.parquet: _parquet,
}


class _Sink:
    """A file that is only ever written to, and emptied as it fills."""

    def __init__(self) -> None:
        self.closed = False
        self._pieces: list[bytes] = []
        self._length = 0

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._length

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        """What was written since it was last emptied."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
