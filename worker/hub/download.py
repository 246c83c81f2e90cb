"""Downloads that are gone on with: a file of a repository, kept in part when the connection breaks, checked when whole.

huggingface_hub drops what it has when a download of its own breaks, hence the plain request with a range here. It asks
for the file as any client without Xet does, which all hubs answer.
"""

import shutil
import time
from contextlib import suppress
from http import HTTPStatus
from io import BufferedWriter
from pathlib import Path

import httpx2
from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # loaded when asked for

from worker.errors import LabelFileError
from worker.hub.progress import ReportTransfer, Transfer
from worker.hub.refusals import LOST, hub_refusals
from worker.hub.repository import Repository, StoredFile
from worker.library.holds import hold_open
from worker.mapping.shards import writing

AGAIN = "Free some space and run the same command: it goes on where it was."
PART = ".part"
TRIES = 4  # in a row that bring nothing
PAUSE = 1.0  # seconds before the second of them, and twice as long each time


def download(repository: Repository, file: StoredFile, folder: Path, report: ReportTransfer) -> Path:
    """Download a file into a folder, from where an earlier download of it broke; return its path.

    Raises:
        LabelFileError: the hub cannot be reached, the disk is full, another run downloads this file, or what came is
            not what the hub says.
    """
    path, part = folder / file.name, folder / f"{file.name}{PART}"
    if path.is_file() and file.matches(path):
        return path
    with writing(folder, AGAIN):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _download_part(repository, file, part, report)
            return part.rename(path)
        finally:
            _remove_empty(part)


def _download_part(repository: Repository, file: StoredFile, path: Path, report: ReportTransfer) -> None:
    """Complete the part that is there, and compare it with what the hub says; errors as in `download`."""
    with path.open("ab") as part:
        hold_open(part, f"Another run downloads {file.name}. Run this again when it is done.")
        _check_space(path.parent, file.size - part.tell())
        _complete(repository, file, part, report)
        part.flush()
        if not file.matches(path):
            part.truncate(0)
            raise LabelFileError(
                f"{file.name} of {repository.name} has not the hash that the hub states: it was changed on its way. "
                "Run the same command again, on another network if need be."
            )


def _remove_empty(part: Path) -> None:
    """Remove a part that nothing has come of, and its folders if they hold no other."""
    with suppress(OSError):
        if part.stat().st_size == 0:
            part.unlink()
            part.parent.rmdir()
            part.parent.parent.rmdir()


def _check_space(folder: Path, missing: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise LabelFileError(
            f"The disk of {folder} has {free / 1e9:.1f} GB free, and {missing / 1e9:.1f} GB are to come. {AGAIN}"
        )


def _complete(repository: Repository, file: StoredFile, part: BufferedWriter, report: ReportTransfer) -> None:
    """Download what is missing of a file; a connection that breaks is made again as long as that brings something."""
    tries, pause = 0, PAUSE
    while part.tell() < file.size:
        before = part.tell()
        with hub_refusals(repository.name):
            lost = _append(repository, file, part, report)
        if part.tell() > before:
            tries, pause = 0, PAUSE
            continue
        tries += 1
        if tries == TRIES:
            raise LabelFileError(LOST) from lost
        time.sleep(pause)
        pause *= 2


def _append(
    repository: Repository, file: StoredFile, part: BufferedWriter, report: ReportTransfer
) -> httpx2.TransportError | None:
    """Ask once for what is missing of a file, and append what comes, up to its size; return what broke, if anything."""
    url = hf_hub_url(repository.name, file.name, repo_type="dataset", revision=repository.commit)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    if part.tell():
        headers["Range"] = f"bytes={part.tell()}-"
    patience = constants.HF_HUB_DOWNLOAD_TIMEOUT
    try:
        with get_session().stream("GET", url, headers=headers, timeout=patience, follow_redirects=True) as response:
            hf_raise_for_status(response)
            if response.status_code != HTTPStatus.PARTIAL_CONTENT:
                part.seek(0)  # the whole file comes
                part.truncate()
            for content in response.iter_raw():
                part.write(content[: file.size - part.tell()])
                report(Transfer(file.name, part.tell(), file.size))
    except httpx2.TransportError as error:
        return error
    return None
