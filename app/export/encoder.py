"""Encodes tables as CSV, JSON lines or Parquet, batch by batch as their rows arrive.

Independent of labels, databases and HTTP. Loads pyarrow, so it is imported with the first export.
"""

from collections.abc import Callable, Generator, Iterator

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from app.export.formats import Format

Batches = Iterator[pa.RecordBatch]


def encode(batches: Batches, form: Format) -> Generator[bytes]:
    """Encode a table as bytes. For JSON lines the batches have one column, `line`, of finished JSON texts."""
    return _WRITERS[form](batches)


def _csv(batches: Batches) -> Generator[bytes]:
    return _encode_with(lambda sink, schema: pa_csv.CSVWriter(sink, schema), batches)


def _parquet(batches: Batches) -> Generator[bytes]:
    def create_writer(sink: pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(sink, schema, compression="zstd")

    return _encode_with(create_writer, batches)


def _encode_with(
    create_writer: Callable[[pa.NativeFile, pa.Schema], pa_csv.CSVWriter | pq.ParquetWriter], batches: Batches
) -> Generator[bytes]:
    """Yield the bytes that a writer produces for each batch, and those it produces when it is closed."""
    sink, writer = _Sink(), None
    for batch in batches:
        writer = writer or create_writer(pa.PythonFile(sink, mode="w"), batch.schema)
        writer.write(batch)
        yield sink.take()
    if writer is not None:
        writer.close()
        yield sink.take()


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
    """A writable file in memory whose content is taken out as it fills."""

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
        """Do nothing: every piece is stored when it is written."""

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        """Return what was written since the last call, and forget it."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
