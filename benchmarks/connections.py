"""A client of HTTP/1.1 on kept-alive connections, bare streams that cost little: it shares cores with the server.

It reads answers with a Content-Length, whole, and leaves them compressed. It knows no question.
"""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

IDLE = 4.0  # seconds; uvicorn closes a connection that was idle for five
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


class Answer(NamedTuple):
    """The answer to a request; `body` as it was sent."""

    status: int
    body: bytes


class Connection(NamedTuple):
    """A connection, and when it became idle."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    since: float


class Connections:
    """Connections to a port of this machine; one that is free is used again, and a new one is opened if none is."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Connection] = []

    async def get(self, path: str, headers: Mapping[str, str] = {}) -> Answer:
        """Ask for a path and read the whole answer.

        As browsers do, it asks again on a new connection when the server closed one that it had kept: a busy server
        may come to a request only after the time for which it keeps connections.

        Raises:
            OSError: the server cannot be reached.
            asyncio.IncompleteReadError: the server broke off.
            ValueError: what came is no answer with a Content-Length.
        """
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}"]
        request = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()
        if kept := self._take():
            with suppress(OSError, asyncio.IncompleteReadError):
                return await self._exchange(kept, request)
        return await self._exchange(await self._open(), request)

    async def close(self) -> None:
        """Close the connections that are not in use."""
        for connection in self._idle:
            connection.writer.close()
            await connection.writer.wait_closed()
        self._idle.clear()

    async def _exchange(self, connection: Connection, request: bytes) -> Answer:
        """Send a request and read its answer; the connection is kept, or closed when that fails."""
        try:
            connection.writer.write(request)
            head = await connection.reader.readuntil(b"\r\n\r\n")
            status, length = _STATUS.match(head), _LENGTH.search(head)
            if not status or not length:
                raise ValueError(f"{request!r}: no status or no Content-Length in {head!r}")
            body = await connection.reader.readexactly(int(length[1]))
        except BaseException:
            connection.writer.close()
            raise
        self._idle.append(connection._replace(since=monotonic()))
        return Answer(int(status[1]), body)

    async def _open(self) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", self._port), monotonic())

    def _take(self) -> Connection | None:
        """The connection that was used last, so that few stay open; those idle for long are closed."""
        while self._idle:
            connection = self._idle.pop()
            if monotonic() - connection.since < IDLE:
                return connection
            connection.writer.close()
        return None
