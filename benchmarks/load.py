"""What the app bears: `neuronym serve` over loopback, asked by a client that is a process of its own on one core.

Searches are drawn from the words of the label file, each as often as it stands in a label; no two are alike but those
of `asked again`. In the rows of 16 people they are due at times fixed beforehand, 32 a second, each person pausing 0.2
to 0.8 seconds, and waiting is counted from when a search was due: a stall counts for all who came meanwhile. In the
other rows one client asks when it is answered. Answers are compressed, as browsers ask for it. `late` is by how much
the client itself missed the times (p99); its processor time is told beside the server's. Start to first answer is a
page of results after `neuronym serve`, median of three; the system has the file in memory by then. Memory is read after
all requests, in full after 10,000 and again 2,000 later.

Without `--data` a layer of the demo pair is mapped and served. On Linux only.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

from benchmarks.client import Client, Rows
from benchmarks.questions import HEADERS, Library, Request, Searches, page_requests, read_library, search_request
from benchmarks.served import Served, serving
from benchmarks.timing import describe_machine
from benchmarks.visits import due_times, visit_at, visit_in_turn


class Size(NamedTuple):
    """How many requests a row is made of: of one client, of 16 people, of one client for each other page."""

    alone: int
    crowd: int
    pages: int


QUICK, FULL = Size(60, 192, 30), Size(300, 2_000, 200)
LAYER = "29"
STARTS, WARM_UP = 3, 10
REPEATED, TIMES = 10, 6  # searches asked again, and how often
MANY, FURTHER = 10_000, 2_000  # requests before memory is read, and before it is read again
KINDS = list(HEADERS)
PAGES = ("home", "neuron", "layer", "token", "side by side", "compare", "renamed", "concepts")
ALONE, CROWD, AGAIN = "search, {}", "search, {}, 16 people", "search, partial, asked again"
WORDS, PREFIXES = "search, partial, words only", "search, partial, prefixes only"
GROWN = f"memory grown in {FURTHER:,} more requests, MB"
TARGETS = {
    **{f"{ALONE.format(kind)}, median, ms": "at most 30" for kind in KINDS},
    **{f"{CROWD.format(kind)}, p99, ms": "at most 100" for kind in KINDS},
    **{f"{name}, median, ms": "at most 50" for name in PAGES},
    **{f"{name}, p99, ms": "at most 150" for name in PAGES},
    "start to first answer, seconds": "at most 2",
    "memory, GB": "at most 1",
    GROWN: "at most 20",
}


def time_start(data: Path) -> float:
    """Time from the command to the whole first answer, a page of results, in seconds."""
    began = perf_counter()
    with serving(data) as served:
        connection = HTTPConnection("127.0.0.1", served.port)
        connection.request("GET", "/search?q=dog&sort=trust")
        connection.getresponse().read()
        took = perf_counter() - began
        connection.close()
    return took


async def measure_rows(client: Client, library: Library, size: Size) -> None:
    """Measure a row for each kind of search, alone and with 16 people, and for each other page."""
    searches = Searches(library)

    def draw(kind: str, count: int) -> list[Request]:
        return [search_request(kind, search) for search in islice(searches, count)]

    for kind in KINDS:
        await visit_in_turn(client.ask, draw(kind, WARM_UP))
        await client.record(ALONE.format(kind), visit_in_turn(client.ask, draw(kind, size.alone)))
    for name, prefixed in ((WORDS, False), (PREFIXES, True)):
        some = (search for search in searches if search["q"].endswith("*") is prefixed)
        requests = [search_request("partial", search) for search in islice(some, size.alone // 2)]
        await client.record(name, visit_in_turn(client.ask, requests))
    for place, kind in enumerate(KINDS):
        await client.record(
            CROWD.format(kind), visit_at(client.ask, draw(kind, size.crowd), due_times(size.crowd, seed=place))
        )
    again = draw("partial", REPEATED)
    await visit_in_turn(client.ask, again)
    await client.record(AGAIN, visit_in_turn(client.ask, again * TIMES))
    for name, requests in page_requests(library, size.pages + 1).items():
        await client.ask(requests[0])
        await client.record(name, visit_in_turn(client.ask, requests[1:]))


def mixed_requests(library: Library) -> Iterator[Request]:
    """An endless mixture of requests: three searches, then another page, and so on."""
    pages = cycle(
        request for those in zip(*page_requests(library, 500, seed=1).values(), strict=False) for request in those
    )
    searches = Searches(library, seed=1)
    while True:
        yield from (search_request(kind, next(searches)) for kind in KINDS)
        yield next(pages)


async def measure(served: Served, full: bool) -> tuple[Client, dict[str, object]]:
    """Measure rows, and the memory after them."""
    client = Client(served)
    library = await read_library(client.read)
    fresh = served.resident()
    await measure_rows(client, library, FULL if full else QUICK)
    mixed = mixed_requests(library)
    if full:
        await visit_in_turn(client.ask, islice(mixed, max(MANY - client.sent, 0)))
    memory: dict[str, object] = {
        "memory before, GB": round(fresh / 1e9, 3),
        "memory, GB": round((after := served.resident()) / 1e9, 3),
        "requests before memory was read": client.sent,
    }
    if full:
        await visit_in_turn(client.ask, islice(mixed, FURTHER))
        memory[GROWN] = round((served.resident() - after) / 1e6, 1)
    await client.close()
    return client, memory


def load(data: Path, full: bool) -> tuple[Rows, dict[str, object]]:
    """Serve a data folder and measure: the rows, and the other figures."""
    starts = [time_start(data) for _ in range(STARTS)]
    with serving(data) as served:
        core = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {core})  # the client's alone: the app runs already, wherever it likes
        client, memory = asyncio.run(measure(served, full))
    alone, crowd, again = (client.rows[name.format("partial")] for name in (ALONE, CROWD, AGAIN))
    figures = {
        "start to first answer, seconds": round(median(starts), 2),
        **memory,
        "core of the client": core,
        "partial: p99 of 16 people / median of one": round(crowd["p99, ms"] / alone["median, ms"], 2),
        "partial: asked again / new": round(again["median, ms"] / alone["median, ms"], 2),
    }
    return client.rows, figures


def main() -> None:
    """Measure a data folder, or a layer of the demo pair; exit code 1 when a request was not answered with 200."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="measure this data folder")
    parser.add_argument("--full", action="store_true", help="2,000 searches a row, and memory after 10,000 requests")
    options = parser.parse_args()
    about = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        if not options.data:
            command = [sys.executable, "-m", "worker.cli", "map", "demo", "--layers", LAYER, "--data", folder]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rows, figures = load(options.data or Path(folder), options.full)
    print(json.dumps({"machine": about, "targets": TARGETS, "rows": rows, "figures": figures}))
    sys.exit(any(row["errors"] for row in rows.values()))


if __name__ == "__main__":
    main()
