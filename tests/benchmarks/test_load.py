"""The load benchmark asks at its own times whatever the server does, counts from then, and asks what is answered."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from time import perf_counter

import pytest

from app.main import create_app
from benchmarks.connections import Connections
from benchmarks.load import KINDS
from benchmarks.questions import Library, Request, Searches, Word, page_requests, read_library, search_request
from benchmarks.served import Served
from benchmarks.visits import Visit, due_times, percentile, visit_at, visit_in_turn
from neuronym.settings import Settings
from tests.serving import served

MODEL = {"name": "m", "layers": 4, "mapped_layers": None, "views": ["up"], "lenses": ["cosine"]}


def test_arrivals_are_fixed_beforehand_and_come_32_a_second() -> None:
    times = due_times(2_000)
    assert times == due_times(2_000) != due_times(2_000, seed=1)
    assert times == sorted(times) and len(times) == 2_000
    assert 2_000 / times[-1] == pytest.approx(32, rel=0.05)
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) > 3 * sum(gaps) / len(gaps), "people do not keep step"


def test_waiting_is_counted_from_when_a_request_was_due() -> None:
    visit = Visit("?", 200, due=1.0, sent=1.5, done=3.0)
    assert (visit.waited, visit.late) == (2.0, 0.5)


def test_requests_are_sent_at_their_time_though_none_is_answered() -> None:
    async def visit() -> list[Visit[int]]:
        asked: list[int] = []
        all_asked = asyncio.Event()

        async def ask(question: int) -> int:
            asked.append(question)
            if len(asked) == 3:
                all_asked.set()
            await all_asked.wait()
            return 200

        async with asyncio.timeout(60):
            return await visit_at(ask, [0, 1, 2], [0.0, 0.1, 0.2])

    visits = asyncio.run(visit())
    assert [visit.asked for visit in visits] == [0, 1, 2]
    assert visits[2].due - visits[0].due == pytest.approx(0.2)
    assert visits[0].waited >= 0.2 and all(visit.late >= 0 for visit in visits)


def test_a_client_that_is_late_says_so_and_those_who_wait_meanwhile_count_it() -> None:
    async def stall(_: int) -> int:
        until = perf_counter() + 0.1
        while perf_counter() < until:
            pass  # holds the client itself
        return 200

    _, second = asyncio.run(visit_at(stall, [0, 1], [0.0, 0.01]))
    assert second.late >= 0.08 and second.waited >= 0.18


@pytest.mark.parametrize(("answered", "expected"), [(1, [b"1", b"2"]), (0, None)])
def test_a_kept_connection_that_was_closed_is_replaced_and_a_new_one_is_not(
    answered: int, expected: list[bytes] | None
) -> None:
    opened = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        for _ in range(answered):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % len(opened))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def ask_twice() -> list[bytes]:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            connections = Connections(server.sockets[0].getsockname()[1])
            bodies = [(await connections.get("/")).body for _ in range(2)]
            for writer in opened:
                writer.close()
            await connections.close()
            return bodies

    if expected is None:
        with pytest.raises(asyncio.IncompleteReadError):
            asyncio.run(ask_twice())
    else:
        assert asyncio.run(ask_twice()) == expected


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [(range(1, 101), 0.99, 99), (range(1, 201), 0.99, 198), (range(60, 0, -1), 0.99, 60), ([7], 0.5, 7)],
)
def test_percentiles_are_by_nearest_rank(values: Sequence[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_words_are_drawn_as_often_as_they_stand_in_labels_and_no_search_comes_twice() -> None:
    rare = [Word("t", number, f"{letter}rare") for number, letter in enumerate("abcdefghij")]
    library = Library([MODEL], [*[Word("t", 10, "common")] * 20, *rare, Word("t", 11, "{("), Word("t", 12, "x")])
    searches = list(islice(Searches(library), 100))
    assert searches == list(islice(Searches(library), 100)) != list(islice(Searches(library, seed=1), 100))
    assert len({json.dumps(search, sort_keys=True) for search in searches}) == 100
    texts = [search["q"] for search in searches]
    assert not {"{(", "x"} & set(texts)
    assert sum(text.rstrip("*") in "common" for text in texts) > 30, "it is in two labels of three, not one of 11"
    assert 0.05 < sum(text.endswith("*") for text in texts) / 100 < 0.6
    with pytest.raises(ValueError, match="too few words"):
        list(islice(Searches(Library([MODEL], [Word("t", 0, "it")])), 100_000))


def test_every_question_is_answered_by_the_app(data_folder: Path) -> None:
    async def ask_all(port: int) -> dict[str, int]:
        connections = Connections(port)

        async def ask(path: str) -> bytes:
            return (await connections.get(path)).body

        async def status(request: Request) -> int:
            return (await connections.get(*request)).status

        library = await read_library(ask)
        requests = [search_request(kind, search) for kind in KINDS for search in islice(Searches(library), 20)]
        pages = page_requests(library, 3)
        assert set(pages) == {"home", "neuron", "layer", "token"}, "no pair is mapped"
        visits = await visit_in_turn(status, [*requests, *(request for those in pages.values() for request in those)])
        partial = await connections.get(*search_request("partial", {"q": "California"}))
        whole = await connections.get(*search_request("page", {"q": "California"}))
        assert len(partial.body) < len(whole.body)
        await connections.close()
        return {visit.asked.path: visit.status for visit in visits}

    with served(create_app(Settings(data=data_folder))) as address:
        statuses = asyncio.run(ask_all(int(address.rpartition(":")[2])))
    assert len(statuses) > 60 and set(statuses.values()) == {200}, statuses


def test_processor_time_and_memory_are_those_of_a_process_and_the_ones_it_started() -> None:
    work = "import time; held = bytearray(60_000_000); sum(range(6_000_000)); print(time.process_time(), flush=True)"
    parent = f"{work}; import subprocess, sys; subprocess.run([sys.executable, '-c', {work + '; time.sleep(60)'!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worked = float(process.stdout.readline()) + float(process.stdout.readline())
        started = Served(process.pid, 0)
        assert 120_000_000 < started.resident() < 250_000_000
        assert worked - 0.05 < started.processor_seconds() < worked + 0.5
        for one in reversed(list(started.processes())):
            os.kill(one, signal.SIGKILL)
