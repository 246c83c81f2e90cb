"""The queue of runs: one runs at a time, first come first served, with a bounded number waiting.

Belongs to one event loop. Knows nothing of models or of HTTP.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

SIGN_OF_LIFE = 15.0  # seconds after which a stream must send something, or a proxy may close it


class Busy(Exception):
    """The queue is full. The message says when to try again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The worker is busy and its queue is full. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class QueuePlace:
    """A place in the queue; the run at the first place may run."""

    def __init__(self, places: list["QueuePlace"]) -> None:
        self._places = places
        self._moved = asyncio.Event()

    @property
    def position(self) -> int:
        """The number of places before this one."""
        return self._places.index(self)

    async def move(self) -> None:
        """Wait until the position may have changed, at most SIGN_OF_LIFE seconds."""
        self._moved.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), SIGN_OF_LIFE)

    async def turn(self) -> None:
        """Wait until this is the first place."""
        while self.position:
            await self.move()

    def notify(self) -> None:
        """End `move`: a place before this one was left."""
        self._moved.set()


class RunQueue:
    """The queue: the run at the first place runs, `room` more may wait."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._places: list[QueuePlace] = []
        self._began = 0.0
        self._mean_turn = 1.0  # seconds that a run is at the first place, a moving mean

    @property
    def running(self) -> int:
        return min(1, len(self._places))

    @property
    def waiting(self) -> int:
        return max(0, len(self._places) - 1)

    @contextmanager
    def admit(self) -> Iterator[QueuePlace]:
        """Take the last place; leave it at the end of the block, if it was not left before.

        Raises:
            Busy: all places are taken.
        """
        if len(self._places) > self.room:
            raise Busy(math.ceil(self._mean_turn))
        place = QueuePlace(self._places)
        self._places.append(place)
        if len(self._places) == 1:
            self._began = monotonic()
        try:
            yield place
        finally:
            self.leave(place)

    def leave(self, place: QueuePlace) -> None:
        """Give up a place, so that those behind it move on; do nothing for a place already left."""
        if place not in self._places:
            return
        now = monotonic()
        if place.position == 0:
            self._mean_turn += (now - self._began - self._mean_turn) / 4
            self._began = now
        self._places.remove(place)
        for behind in self._places:
            behind.notify()
