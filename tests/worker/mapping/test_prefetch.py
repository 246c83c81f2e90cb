"""Reading ahead gives what reading in turn gives, in order, and passes on what goes wrong."""

import threading
from collections.abc import Iterator

import pytest
import torch

from worker.machine.cores import cores
from worker.mapping.prefetch import copy_to, prefetch


def test_everything_comes_in_order() -> None:
    assert list(prefetch(lambda key: key * key, range(7))) == [0, 1, 4, 9, 16, 25, 36]
    assert list(prefetch(lambda key: key, [])) == []


def test_the_next_is_read_meanwhile_and_no_more_than_that() -> None:
    begun: list[int] = []
    second = threading.Event()

    def read(key: int) -> int:
        begun.append(key)
        if key == 1:
            second.set()
        return key

    results = prefetch(read, range(5))
    assert next(results) == 0
    assert second.wait(10)  # without anyone asking for it
    assert begun == [0, 1]
    assert next(results) == 1
    results.close()  # type: ignore[attr-defined]
    assert begun in ([0, 1], [0, 1, 2])


def test_an_error_is_raised_where_its_turn_comes() -> None:
    def read(key: int) -> int:
        if key == 2:
            raise OSError("unreadable")
        return key

    def taken() -> Iterator[int]:
        yield from prefetch(read, range(5))

    got = []
    with pytest.raises(OSError, match="unreadable"):
        for result in taken():
            got.append(result)
    assert got == [0, 1]


def test_torch_keeps_its_threads() -> None:
    before = cores()
    seen = list(prefetch(lambda _: torch.get_num_threads(), range(2)))
    assert seen == [1, 1]
    assert cores() == before
    in_a_new_thread: list[int] = []
    thread = threading.Thread(target=lambda: in_a_new_thread.append(cores()))
    thread.start()
    thread.join()
    assert in_a_new_thread == [before]


def test_rows_on_the_cpu_are_not_copied() -> None:
    rows = torch.ones(3, 2)
    assert copy_to(rows, torch.device("cpu")) is rows
