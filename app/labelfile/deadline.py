"""Time limits for many short pieces of work, watched by one thread: a timer for each would cost more than the work.

Independent of databases: work is anything that can be interrupted from another thread.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

_POLL_SECONDS = 0.25  # between checks of the running work: an interrupt may come this late


def never() -> bool:
    """Return False: the `unwanted` of work whose result is always wanted."""
    return False


class Deadline:
    """Interrupts work that runs too long or whose result nobody wants any more."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: the limit of work that is given none of its own."""
        self.seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[object, tuple[float, Callable[[], bool], Callable[[], None]]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(
        self, interrupt: Callable[[], None], seconds: float | None = None, unwanted: Callable[[], bool] = never
    ) -> Iterator[None]:
        """Call `interrupt`, again and again, while the block runs past its limit or `unwanted` returns True."""
        key = object()
        due = monotonic() + (self.seconds if seconds is None else seconds)
        with self._lock:
            self._running[key] = due, unwanted, interrupt
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                del self._running[key]

    def end(self) -> None:
        """Stop watching."""
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            now = monotonic()
            with self._lock:  # held while interrupting: work that has just ended must not be hit
                for due, unwanted, interrupt in self._running.values():
                    if due < now or unwanted():
                        interrupt()
