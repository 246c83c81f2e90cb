"""Work is interrupted when it runs too long, or at once when nobody waits for it; no other work is."""

import threading
import time
from collections.abc import Iterator

import pytest

from app.labelfile.deadline import Deadline

LONG = 60.0  # seconds; no test takes so long
SOON = 5.0  # seconds within which an interrupt has come


class Work:
    """Work that counts its interrupts."""

    def __init__(self) -> None:
        self.interrupts = 0
        self._interrupted = threading.Event()

    def interrupt(self) -> None:
        self.interrupts += 1
        self._interrupted.set()

    def hit(self, seconds: float) -> bool:
        """Wait for the next interrupt; return whether it came within so many seconds."""
        self._interrupted.clear()
        return self._interrupted.wait(seconds)


@pytest.fixture
def deadline() -> Iterator[Deadline]:
    deadline = Deadline(LONG)
    yield deadline
    deadline.end()


@pytest.fixture
def work() -> Work:
    return Work()


def test_work_that_nobody_waits_for_is_interrupted_long_before_its_time(deadline: Deadline, work: Work) -> None:
    left = threading.Event()
    with deadline.limit(work.interrupt, unwanted=left.is_set):
        assert not work.hit(1.0)  # still wanted at every check
        left.set()
        assert work.hit(SOON)
        assert work.hit(SOON)  # again: a query may begin after the first interrupt


def test_work_that_takes_longer_than_its_own_limit_is_interrupted(deadline: Deadline, work: Work) -> None:
    began = time.monotonic()
    with deadline.limit(work.interrupt, 0.6):
        assert work.hit(SOON)
    assert time.monotonic() - began >= 0.6


def test_work_without_a_limit_of_its_own_has_that_of_all(work: Work) -> None:
    short = Deadline(0.1)
    with short.limit(work.interrupt):
        assert work.hit(SOON)
    short.end()


def test_only_the_work_that_is_unwanted_is_interrupted(deadline: Deadline, work: Work) -> None:
    other = Work()
    with deadline.limit(other.interrupt), deadline.limit(work.interrupt, unwanted=lambda: True):
        assert work.hit(SOON) and work.hit(SOON)
    assert other.interrupts == 0


def test_work_that_has_ended_is_left_alone(deadline: Deadline, work: Work) -> None:
    with pytest.raises(KeyError), deadline.limit(work.interrupt, unwanted=lambda: True):
        raise KeyError
    before = work.interrupts
    assert not work.hit(1.0)
    assert work.interrupts == before


def test_after_the_end_nothing_is_watched(deadline: Deadline, work: Work) -> None:
    with deadline.limit(work.interrupt, unwanted=lambda: True):
        assert work.hit(SOON)
        deadline.end()
        work.hit(0.5)  # one look may be under way
        assert not work.hit(1.0)
