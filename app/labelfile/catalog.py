"""Opens the library that is served, and takes up what is published; running requests finish on the state before.

The queries themselves are in `app.queries`.
"""

import logging
import threading
from typing import Annotated

from fastapi import Depends, Request

from app.labelfile.database import QUERY_SECONDS
from app.labelfile.deadline import Deadline
from app.labelfile.library import MEND, Library, NoLabelFile
from app.labelfile.mapping_status import mapping_of
from neuronym.library import Catalogue, LibraryError, catalogue_file, read_catalogue
from neuronym.settings import LEAST_MEMORY, Settings

log = logging.getLogger(__name__)

SHARE = 0.25  # of the memory that DuckDB may use: a build sorts, an app only reads, and keeps what it read
ATTEMPTS = 5  # to open a library whose files are replaced while it is opened

Stamp = tuple[int, int, int]  # what changes whenever the catalogue is replaced


class Catalog:
    """Opens what `library/catalogue.json` names, and serves on what it has when a newer state cannot be read."""

    def __init__(self, settings: Settings) -> None:
        self._data = settings.data
        self._memory_limit = max(LEAST_MEMORY, int(SHARE * settings.memory_limit))
        self._deadline = Deadline(QUERY_SECONDS)
        self._lock = threading.Lock()
        self._open: Library | None = None
        self._followed: Stamp | None = None  # that of the catalogue when it was last read
        self._refusal: NoLabelFile | None = None

    def current(self) -> Library:
        """Return the newest state of the library that can be read; raise NoLabelFile when there is none."""
        stamp = self._stamp()
        if stamp != self._followed:
            self._follow(stamp)
        if self._open is None or not self._open.models:
            raise self._refusal or NoLabelFile(self._nothing_to_open())
        return self._open

    def close(self) -> None:
        """Close the files, busy connections as soon as their request ends."""
        self._deadline.end()
        if self._open is not None:
            self._open.close()

    def _nothing_to_open(self) -> str:
        folder = self._data.absolute()
        if (folder / "current").exists():
            return f"{folder} is of an earlier version. Run `neuronym-worker upgrade` once: it carries everything over."
        return f"No model is mapped yet in {folder}. {MEND}"

    def _stamp(self) -> Stamp | None:
        try:
            found = catalogue_file(self._data).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _follow(self, stamp: Stamp | None) -> None:
        """Open what the catalogue names. One request does it; meanwhile the others use the last good state."""
        if not self._lock.acquire(blocking=self._open is None):
            return
        try:
            if stamp is not None and stamp != self._followed:
                self._swap(self._open_library())
                self._refusal = None
        except NoLabelFile as refusal:
            self._refusal = refusal
            log.error("%s (%s)", refusal, "what was served before is served on" if self._open else "nothing is served")
        finally:
            self._followed = stamp
            self._lock.release()

    def _open_library(self) -> Library:
        """Open the library as it is now; a file that is replaced meanwhile is looked for in the newer catalogue."""
        try:
            for _ in range(ATTEMPTS):
                catalogue = read_catalogue(self._data)
                library = self._open_state(catalogue)
                if isinstance(library, Library) and not library.unreadable:
                    return library
                if read_catalogue(self._data) == catalogue:
                    break
        except LibraryError as error:
            raise NoLabelFile(str(error)) from error
        if isinstance(library, NoLabelFile):
            raise library
        return library

    def _open_state(self, catalogue: Catalogue) -> Library | NoLabelFile:
        try:
            return Library(self._data, catalogue, self._memory_limit, self._deadline, self._open)
        except NoLabelFile as refusal:
            return refusal

    def _swap(self, newer: Library) -> None:
        self._open = newer  # the older one closes with its last request
        log.info("run %s of the library is served", newer.run)


class BeingMapped(NoLabelFile):
    """No model is mapped yet, and the first is being mapped."""


def served_library(request: Request) -> Library:
    """Return the library to answer a request from; raise NoLabelFile when there is none."""
    catalog: Catalog = request.app.state.catalog
    try:
        return catalog.current()
    except NoLabelFile as refusal:
        mapping = mapping_of(request)
        if mapping is None:
            raise
        kind = NoLabelFile if mapping.failed else BeingMapped
        raise kind("No model is mapped yet.", mapping.now) from refusal


Labels = Annotated[Library, Depends(served_library)]
