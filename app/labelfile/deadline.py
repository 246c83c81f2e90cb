"""A limit on the time of many short pieces of work, kept by one thread: a timer for each would cost more than they do.

Knows nothing of databases: work is anything that can be interrupted from another thread.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

_LOOK = 0.25  # seconds between looks at what is running: how late an interrupt may come


def never() -> bool:
    """For work that is wanted to its end."""
    return False


class Deadline:
    """Interrupts work that runs for too long, or that nobody waits for any more."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: for work that names no limit of its own."""
        self.seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[object, tuple[float, Callable[[], bool], Callable[[], None]]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(
        self, interrupt: Callable[[], None], seconds: float | None = None, unwanted: Callable[[], bool] = never
    ) -> Iterator[None]:
        """While the block runs longer than allowed, or is `unwanted`, `interrupt` is called, again and again."""
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
        while not self._ended.wait(_LOOK):
            now = monotonic()
            with self._lock:  # held while interrupting: work that has just ended must not be hit
                for due, unwanted, interrupt in self._running.values():
                    if due < now or unwanted():
                        interrupt()
