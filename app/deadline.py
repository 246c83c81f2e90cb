"""A limit on the time of many short pieces of work, kept by one thread: a timer for each would cost more than they do.

Knows nothing of databases: work is anything that can be interrupted from another thread.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

_LOOK = 0.25  # seconds between looks at what is running: how late an interrupt may come


class Deadline:
    """Interrupts work that runs longer than `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[object, tuple[float, Callable[[], None]]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """While the block runs longer than allowed, `interrupt` is called, again and again."""
        key = object()
        with self._lock:
            self._running[key] = monotonic() + self.seconds, interrupt
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
                for due, interrupt in self._running.values():
                    if due < now:
                        interrupt()
