"""Opens the label file that the app serves, swaps it for a newer one, and closes the old one after its last request.

The queries themselves are in `app.queries`.
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
    """Opens the file that `data/current` points to, and keeps it open when a newer one is broken."""

    def __init__(self, settings: Settings) -> None:
        self._link = settings.data / "current"
        self._memory_limit = settings.memory_limit
        self._deadline = Deadline(QUERY_SECONDS)
        self._lock = threading.Lock()
        self._open: LabelFile | None = None
        self._followed: str | None = None  # the target of the link when it was last followed
        self._refusal: NoLabelFile | None = None

    def current(self) -> LabelFile:
        """Return the newest label file that can be read; raise NoLabelFile when there is none."""
        target = self._target()
        if target != self._followed:
            self._follow(target)
        if self._open is None:
            raise self._refusal or NoLabelFile(self._nothing_to_open())
        return self._open

    def close(self) -> None:
        """Close the file once the running requests have finished."""
        self._deadline.end()
        if self._open is not None:
            self._open.close()

    def _nothing_to_open(self) -> str:
        folder = self._link.parent.absolute()
        if not self._link.exists():
            return f"No model is mapped yet in {folder}. {MEND}"
        return (
            f"{folder / 'current'} should be a link to a label file and is none, as in a copy of a folder without its "
            "links: `ln -sf labels-RUN.duckdb current` in that folder makes it one."
        )

    def _target(self) -> str | None:
        try:
            return os.readlink(self._link)
        except OSError:
            return None

    def _follow(self, target: str | None) -> None:
        """Open the target of the link. One request does it; meanwhile the others use the last good file."""
        if not self._lock.acquire(blocking=self._open is None):
            return
        try:
            if target is not None and target != self._followed:
                self._swap(LabelFile(self._link.parent / target, self._memory_limit, self._deadline))
        except NoLabelFile as refusal:
            self._refusal = refusal
            served = f"{self._open.path.name} is served on" if self._open else "nothing is served"
            log.error("%s (%s)", refusal, served)
        finally:
            self._followed = target
            self._lock.release()

    def _swap(self, newer: LabelFile) -> None:
        older, self._open = self._open, newer
        log.info("label file %s is served", newer.path.name)
        if older is not None:
            older.close()


def served_label_file(request: Request) -> LabelFile:
    """Return the label file to answer a request from; raise NoLabelFile when there is none."""
    catalog: Catalog = request.app.state.catalog
    return catalog.current()


Labels = Annotated[LabelFile, Depends(served_label_file)]
