"""The label file that is served: opened read-only, swapped for a newer one, closed when the last reader has left.

It knows no question; `app.queries` asks them.
"""

import logging
import os
import threading
from typing import Annotated

from fastapi import Depends, Request

from app.labelfile.deadline import Deadline
from app.labelfile.label_file import MEND, QUERY_SECONDS, LabelFile, NoLabelFile
from neuronym.settings import Settings

log = logging.getLogger(__name__)


class Catalog:
    """Serves the file that `data/current` points to, and goes on serving it when a newer one is broken."""

    def __init__(self, settings: Settings) -> None:
        self._link = settings.data / "current"
        self._memory_limit = settings.memory_limit
        self._deadline = Deadline(QUERY_SECONDS)
        self._lock = threading.Lock()
        self._open: LabelFile | None = None
        self._tried: str | None = None  # what the link named when it was last followed
        self._refusal: NoLabelFile | None = None

    def current(self) -> LabelFile:
        """The newest label file that can be read; NoLabelFile when there is none."""
        target = self._target()
        if target != self._tried:
            self._follow(target)
        if self._open is None:
            raise self._refusal or NoLabelFile(f"No model is mapped yet in {self._link.parent}. {MEND}")
        return self._open

    def close(self) -> None:
        """Close the file; running requests finish first."""
        self._deadline.end()
        if self._open is not None:
            self._open.close()

    def _target(self) -> str | None:
        try:
            return os.readlink(self._link)
        except OSError:
            return None

    def _follow(self, target: str | None) -> None:
        """Open what the link names; while one request does, the others are answered from the last good file."""
        if not self._lock.acquire(blocking=self._open is None):
            return
        try:
            if target is not None and target != self._tried:
                self._swap(LabelFile(self._link.parent / target, self._memory_limit, self._deadline))
        except NoLabelFile as refusal:
            self._refusal = refusal
            served = f"{self._open.path.name} is served on" if self._open else "nothing is served"
            log.error("%s (%s)", refusal, served)
        finally:
            self._tried = target
            self._lock.release()

    def _swap(self, newer: LabelFile) -> None:
        older, self._open = self._open, newer
        log.info("label file %s is served", newer.path.name)
        if older is not None:
            older.close()


def served(request: Request) -> LabelFile:
    """The label file this request is answered from."""
    catalog: Catalog = request.app.state.catalog
    return catalog.current()


Labels = Annotated[LabelFile, Depends(served)]
