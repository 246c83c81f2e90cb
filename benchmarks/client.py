"""The client of the load benchmark: asks a served app, and keeps a row of figures for each kind of request."""

import asyncio
import sys
from collections.abc import Coroutine
from statistics import median
from time import process_time
from typing import Any

from benchmarks.connections import Connections
from benchmarks.questions import Request
from benchmarks.served import Served
from benchmarks.visits import Visit, percentile, rate

Rows = dict[str, dict[str, float]]  # figures by what was asked, then by what was measured


class Client:
    """Asks; `rows` by the name of what was asked, `sent` are all requests so far."""

    def __init__(self, served: Served) -> None:
        self.rows: Rows = {}
        self.sent = 0
        self._served = served
        self._connections = Connections(served.port)

    async def ask(self, request: Request) -> int:
        """Ask, and return the status; 0 when the server broke off."""
        self.sent += 1
        try:
            return (await self._connections.get(*request)).status
        except (OSError, asyncio.IncompleteReadError):
            return 0

    async def read(self, path: str) -> bytes:
        """Ask for JSON, and return the body."""
        self.sent += 1
        answer = await self._connections.get(path)
        assert answer.status == 200, f"{path}: {answer}"
        return answer.body

    async def record(self, name: str, visiting: Coroutine[Any, Any, list[Visit[Request]]]) -> None:
        """Make visits, and keep what they come to as the row of this name."""
        server, client = self._served.processor_seconds(), process_time()
        visits = await visiting
        client, server = process_time() - client, self._served.processor_seconds() - server
        failed = [visit for visit in visits if visit.status != 200]
        for visit in failed[:3]:
            print(f"{name}: {visit.asked.path} was answered {visit.status}", file=sys.stderr)
        self.rows[name] = {
            "requests": len(visits),
            "median, ms": round(1000 * median(visit.waited for visit in visits), 1),
            "p99, ms": round(1000 * percentile((visit.waited for visit in visits), 0.99), 1),
            "a second": round(rate(visits), 1),
            "late, ms": round(1000 * percentile((visit.late for visit in visits), 0.99), 1),
            "server CPU, ms": round(1000 * server / len(visits), 1),
            "client CPU, ms": round(1000 * client / len(visits), 2),
            "errors": len(failed),
        }

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()
