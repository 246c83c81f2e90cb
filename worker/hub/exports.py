"""Label files on their way to a repository: exported, hashed, and read with reports of how much is sent."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neuronym.library import FileKind
from neuronym.settings import Settings
from worker.errors import LabelFileError
from worker.hub.download import AGAIN
from worker.hub.facts import ModelFacts, PairFacts, read_run
from worker.hub.progress import ReportTransfer, Transfer
from worker.hub.repository import FileRecord, sha256
from worker.library.export import export_file
from worker.library.holds import hold_open
from worker.mapping.shards import writing

FOLDER = ".pushing"  # in the data folder


@contextmanager
def export_folder(data: Path, name: str) -> Iterator[Path]:
    """A folder for the exports of a push of `name`, which is removed after it, as is what a killed push left in it.

    Raises:
        LabelFileError: another run pushes this name, or the folder cannot be written.
    """
    folder = data / FOLDER / name
    with writing(folder, AGAIN):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a")
    with lock:
        hold_open(lock, f"Another run pushes {name}. Run this again when it is done.")
        try:
            for leftover in folder.glob("*.duckdb"):
                leftover.unlink()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()


def export(facts: ModelFacts | PairFacts, folder: Path, settings: Settings) -> Path:
    """Export the file that has these facts into a folder; return its path.

    Raises:
        LabelFileError: another file is current by now, or it cannot be written.
    """
    path = folder / facts.file
    export_file(facts.row["name"], path, settings)
    if read_run(path) != facts.run:
        raise LabelFileError(f"{facts.row['name']!r} was published anew meanwhile. Run the same command again.")
    return path


def record_of(facts: ModelFacts | PairFacts, path: Path) -> FileRecord:
    """What the card's header says of an exported file."""
    kind: FileKind = "model" if isinstance(facts, ModelFacts) else "pair"
    return FileRecord(file=facts.file, kind=kind, sha256=sha256(path), bytes=path.stat().st_size, run=facts.run)


class SentFile(io.BufferedReader):
    """A file that tells `report` how far it is read, from when it has one: it is read once to be hashed before.

    huggingface_hub sends an open file by plain HTTP, which every hub takes; it sends a path by Xet wherever its client
    is installed, whether or not the hub has Xet.
    """

    report: ReportTransfer | None = None

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.file = path.name
        self._bytes = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self.report:
            self.report(Transfer(self.file, self.tell(), self._bytes))
        return content
