"""The statements that were asked last, kept because building one of a search costs more than running it.

Values that differ between two askings are parameters of a statement; all else is in its key.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Statement = TypeVar("Statement")
KEPT = 64


class Statements(Generic[Statement]):
    """The last KEPT statements by their key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_key: OrderedDict[Hashable, Statement] = OrderedDict()

    def get(self, key: Hashable, build: Callable[[], Statement]) -> Statement:
        """The statement of this key; built if it is not kept."""
        with self._lock:
            if key in self._by_key:
                self._by_key.move_to_end(key)
                return self._by_key[key]
        statement = build()  # two requests may build the same at once
        with self._lock:
            self._by_key[key] = statement
            if len(self._by_key) > KEPT:
                self._by_key.popitem(last=False)
        return statement
