"""Exports of labels, streamed over HTTP or saved to a file.

Joins the query (`app.queries.search.export`) and the encoder (`app.export.encoder`). Rows are read as they are sent,
and the query stops when the client leaves. An export may take an hour, and only AT_ONCE may run at a time: each holds
a connection to the library for as long as its client reads.
"""

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Event
from typing import TYPE_CHECKING

import anyio
from anyio.to_thread import run_sync
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.errors import Unavailable, Unprocessable
from app.export.formats import MEDIA_TYPES, Format
from app.labelfile.library import Library
from app.queries.search.export import ExportQuery, export
from app.web.middleware import BODILESS

if TYPE_CHECKING:
    from pyarrow import RecordBatch

SECONDS = 3600.0  # that an export may take, its client's reading included
AT_ONCE = 4  # exports that may run at the same time
_running = BoundedSemaphore(AT_ONCE)


class Export:
    """The rows of a query, encoded in a format; `rows` counts those read so far."""

    def __init__(self, labels: Library, query: ExportQuery, form: Format) -> None:
        from app.export.encoder import encode  # a third of the time that the app takes to start

        statements = export(labels, query, as_json=form is Format.jsonl)
        self.rows = 0
        self._unwanted = Event()
        self._chunks = encode(self._count_rows(labels.batches(statements, SECONDS, self._unwanted.is_set)), form)

    def _count_rows(self, batches: "Iterator[RecordBatch]") -> "Iterator[RecordBatch]":
        for batch in batches:
            self.rows += batch.num_rows
            yield batch

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def stop(self) -> None:
        """End the running query and give its connection back, whichever thread it runs in."""
        self._unwanted.set()
        with suppress(ValueError):  # raised when the generator runs in another thread; the query ends there
            self._chunks.close()


class Download(StreamingResponse):
    """The response that streams an export.

    Raises:
        Unavailable: AT_ONCE exports run already.
        Problem: the query is refused, as a search would be.
    """

    def __init__(self, labels: Library, query: ExportQuery, form: Format) -> None:
        if not _running.acquire(blocking=False):
            raise Unavailable(f"{AT_ONCE} exports run already. Ask again when one is done.", retry_after=30)
        try:
            self._export = Export(labels, query, form)
            self._first = next(iter(self._export), b"")
        except BaseException:
            _running.release()
            raise
        name = re.sub(r"[^\w.-]", "_", f"labels-{labels.run}.{form}")
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "ETag": f'"{labels.run}"',
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
        }
        super().__init__(self._stream_chunks(), headers=headers, media_type=MEDIA_TYPES[form])

    async def _stream_chunks(self) -> AsyncIterator[bytes]:
        chunk: bytes | None = self._first
        while chunk is not None:
            yield chunk
            chunk = await run_sync(next, iter(self._export), None, abandon_on_cancel=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope.get(BODILESS):
                self.body_iterator = _empty_body()
            with anyio.fail_after(SECONDS + 1):  # a client that stays but reads nothing must not hold a place for good
                await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(self.end)

    def end(self) -> None:
        """Stop the query and let another export run; the client has everything, or has left."""
        self._export.stop()
        _running.release()


async def _empty_body() -> AsyncIterator[bytes]:
    return
    yield b""


def save(labels: Library, query: ExportQuery, path: Path) -> int:
    """Write an export to a file, whole or not at all; return the number of rows.

    Raises:
        Unprocessable: no format has the ending of `path`.
    """
    exported = Export(labels, query, format_of(path))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            file.writelines(exported)
        unfinished.replace(path)
    except BaseException:
        exported.stop()
        unfinished.unlink(missing_ok=True)
        raise
    return exported.rows


def format_of(path: Path) -> Format:
    """Return the format that a file's ending names; raise Unprocessable when it names none."""
    ending = path.suffix.removeprefix(".").lower()
    if ending not in list(Format):
        endings = ", ".join(f".{form}" for form in Format)
        raise Unprocessable(f"{path.name} should end in one of {endings}: that is its format.")
    return Format(ending)
