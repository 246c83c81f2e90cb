"""Whose turn it is: one run at a time, first come first served, with a bounded number waiting.

Belongs to one event loop. Knows nothing of models or of HTTP.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

SIGN_OF_LIFE = 15.0  # seconds a proxy may hear nothing


class Busy(Exception):
    """The queue is full. The message says when to come again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The worker is busy and its queue is full. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class Place:
    """A place in the queue; the first has the turn."""

    def __init__(self, line: list["Place"]) -> None:
        self._line = line
        self._moved = asyncio.Event()

    @property
    def position(self) -> int:
        """How many are before this one."""
        return self._line.index(self)

    async def move(self) -> None:
        """Wait until the position may have changed, or long enough that a sign of life is due."""
        self._moved.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), SIGN_OF_LIFE)

    async def turn(self) -> None:
        """Wait for the turn."""
        while self.position:
            await self.move()

    def moved(self) -> None:
        """Say that someone before has left."""
        self._moved.set()


class Turns:
    """The queue. One place runs, `room` more may wait."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._line: list[Place] = []
        self._began = 0.0
        self._usual = 1.0  # seconds a turn takes, a moving mean

    @property
    def running(self) -> int:
        return min(1, len(self._line))

    @property
    def waiting(self) -> int:
        return max(0, len(self._line) - 1)

    @contextmanager
    def admit(self) -> Iterator[Place]:
        """Take the last place, and leave it with the block at the latest, whether its turn came or not.

        Raises:
            Busy: all places are taken.
        """
        if len(self._line) > self.room:
            raise Busy(math.ceil(self._usual))
        place = Place(self._line)
        self._line.append(place)
        if len(self._line) == 1:
            self._began = monotonic()
        try:
            yield place
        finally:
            self.leave(place)

    def leave(self, place: Place) -> None:
        """Give a place up; those behind move on. To do it twice does nothing."""
        if place not in self._line:
            return
        now = monotonic()
        if place.position == 0:
            self._usual += (now - self._began - self._usual) / 4
            self._began = now
        self._line.remove(place)
        for behind in self._line:
            behind.moved()
