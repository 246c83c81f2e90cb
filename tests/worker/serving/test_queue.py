"""The queue: first come, first served, and a place that is left is free at once."""

import asyncio
from contextlib import ExitStack

import pytest

from worker.serving import queue as queue_module
from worker.serving.queue import Busy, QueuePlace, RunQueue


def test_turns_come_in_order_and_leaving_the_queue_is_no_turn() -> None:
    async def scene() -> list[str]:
        queue, order = RunQueue(room=3), []

        async def client(name: str, stay: asyncio.Event) -> None:
            with queue.admit() as place:
                await place.turn()
                order.append(name)
                await stay.wait()

        stays = {name: asyncio.Event() for name in "abcd"}
        tasks = {name: asyncio.create_task(client(name, stays[name])) for name in "abcd"}
        await asyncio.sleep(0)
        assert (queue.running, queue.waiting) == (1, 3)
        with pytest.raises(Busy) as refused:
            queue.admit().__enter__()
        assert refused.value.retry_after >= 1
        tasks["b"].cancel()
        for name in "acd":
            stays[name].set()
        await asyncio.wait(tasks.values())
        assert (queue.running, queue.waiting) == (0, 0)
        return order

    assert asyncio.run(scene()) == ["a", "c", "d"]


def test_a_place_knows_how_many_are_before_it() -> None:
    queue = RunQueue(room=2)
    with ExitStack() as first, ExitStack() as second:
        places: list[QueuePlace] = [first.enter_context(queue.admit()), second.enter_context(queue.admit())]
        with queue.admit() as last:
            assert [place.position for place in (*places, last)] == [0, 1, 2]
            second.close()
            assert last.position == 1
            first.close()
            assert last.position == 0


def test_a_place_that_does_not_move_gives_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "SIGN_OF_LIFE", 0.01)

    async def scene() -> int:
        queue = RunQueue(room=1)
        with queue.admit(), queue.admit() as waiting:
            await waiting.move()
            return waiting.position

    assert asyncio.run(scene()) == 1


def test_retry_after_is_about_what_a_turn_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(queue_module, "monotonic", lambda: now)
    queue = RunQueue(room=1)
    for _ in range(20):
        with queue.admit():
            now += 30
    with queue.admit(), queue.admit(), pytest.raises(Busy, match="Try again in 30 seconds") as refused, queue.admit():
        pass
    assert refused.value.retry_after == 30
