"""A table of labels as a download: read as it is sent, stopped when whoever asked has left.

Joins the question (`app.queries.search.export`) and the formats (`app.export.formats`) to HTTP and to files. An export
may take an hour, and a few may run at a time: each holds a connection to the label file for as long as its reader
takes.
"""

import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from threading import BoundedSemaphore, Event

import anyio
from anyio.to_thread import run_sync
from fastapi.responses import StreamingResponse
from pyarrow import RecordBatch
from starlette.types import Receive, Scope, Send

from app.errors import Unavailable, Unprocessable
from app.export.formats import MEDIA_TYPES, Format, written
from app.labelfile.label_file import LabelFile
from app.queries.search.export import ExportQuery, export
from app.web.middleware import BODILESS

SECONDS = 3600.0  # that an export may take, its reader included
AT_ONCE = 4
_running = BoundedSemaphore(AT_ONCE)


class Export:
    """The rows of a question as bytes; `rows` counts those that were read so far."""

    def __init__(self, labels: LabelFile, query: ExportQuery, form: Format) -> None:
        statements = export(labels, query, as_json=form is Format.jsonl)
        self.rows = 0
        self._unwanted = Event()
        self._chunks = written(self._counted(labels.batches(statements, SECONDS, self._unwanted.is_set)), form)

    def _counted(self, batches: Iterator[RecordBatch]) -> Iterator[RecordBatch]:
        for batch in batches:
            self.rows += batch.num_rows
            yield batch

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def stop(self) -> None:
        """End the query that runs, and give its connection back; in whichever thread it is."""
        self._unwanted.set()
        with suppress(ValueError):  # it runs in another thread, where the query now ends
            self._chunks.close()


class Download(StreamingResponse):
    """An export as it comes. Unavailable: too many run; a question that cannot be answered is refused as any other."""

    def __init__(self, labels: LabelFile, query: ExportQuery, form: Format) -> None:
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
        super().__init__(self._sent(), headers=headers, media_type=MEDIA_TYPES[form])

    async def _sent(self) -> AsyncIterator[bytes]:
        chunk: bytes | None = self._first
        while chunk is not None:
            yield chunk
            chunk = await run_sync(next, iter(self._export), None, abandon_on_cancel=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope.get(BODILESS):
                self.body_iterator = _nothing()
            with anyio.fail_after(SECONDS + 1):  # one who reads nothing, and stays, must not hold a place for good
                await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_sync(self.end)

    def end(self) -> None:
        """Whoever asked has it all, or has left: stop reading, and let another run."""
        self._export.stop()
        _running.release()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def save(labels: LabelFile, query: ExportQuery, path: Path) -> int:
    """Write an export to a file, whole or not at all; the number of rows. Unprocessable: no format has this ending."""
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
    """The format that a file's ending names."""
    ending = path.suffix.removeprefix(".").lower()
    if ending not in list(Format):
        endings = ", ".join(f".{form}" for form in Format)
        raise Unprocessable(f"{path.name} should end in one of {endings}: that is its format.")
    return Format(ending)
