"""Pulling: the label files of a dataset repository, downloaded whole and checked, then added as any stranger's file is.

A download that breaks leaves the library as it was, and what came of it, to be gone on with.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from neuronym.label_tables import REVISION
from neuronym.settings import Settings
from worker.errors import ForeignFileError, LabelFileError
from worker.hub.download import download
from worker.hub.progress import ReportTransfer
from worker.hub.refusals import check_repository
from worker.hub.repository import Repository, StoredFile, read_repository
from worker.library.added import Outcome, add_file
from worker.library.data_folder import check_data_folder

FOLDER = ".pulling"  # in the data folder: downloads that are not finished


def pull(
    repository: str,
    settings: Settings,
    report: ReportTransfer,
    revision: str | None = None,
    file: str | None = None,
    name: str | None = None,
) -> list[Outcome]:
    """Pull the label files of a repository into the library: those that its card names, or the one there is.

    Args:
        revision: a branch, tag or commit; the newest commit by default.
        file: the one file to take.
        name: what to call the model or pair, if not as in its file.

    Raises:
        LabelFileError: the hub refuses or cannot be reached, what came is not what it states, or the library cannot
            take it.
    """
    check_repository(repository)
    check_data_folder(settings.data)
    found = read_repository(repository, revision)
    chosen = _chosen_files(found, file)
    if name is not None and len(chosen) > 1:
        raise LabelFileError(f"{repository} has {len(chosen)} label files, and --name is for one. Give --file as well.")
    _check_record(found, chosen)
    places = {one.name: settings.data / FOLDER / one.key for one in chosen}
    paths = [download(found, one, places[one.name], report) for one in chosen]
    origin = {"repository": found.name, "commit": found.commit}
    outcomes = []
    for path in paths:
        try:
            outcomes.append(add_file(path, settings, name, origin))
        except ForeignFileError:
            _sweep(path.parent)
            raise
    for path in paths:
        _sweep(path.parent)
    return outcomes


def _chosen_files(found: Repository, wanted: str | None) -> list[StoredFile]:
    """The files to take, models before pairs."""
    there = {one.name: one for one in found.label_files}
    if not there:
        raise LabelFileError(f"{found.name} has no label file. Ask for one that `neuronym-worker push` has filled.")
    names = ", ".join(sorted(there)[:10])
    if wanted is not None:
        if wanted not in there:
            raise LabelFileError(f"{found.name} has no label file {wanted[:60]!r}. It has: {names}.")
        return [there[wanted]]
    told = list(dict.fromkeys(one.file for one in found.record.files if one.file in there)) if found.record else []
    if not told and len(there) > 1:
        raise LabelFileError(f"{found.name} has several label files, and no card to say which. Give --file: {names}.")
    return [there[one] for one in told] or list(there.values())


def _check_record(found: Repository, chosen: list[StoredFile]) -> None:
    """Refuse what this version does not read, and files that are not those the card speaks of, before a download."""
    record = found.record
    if record is None:
        return
    if record.schema_revision != REVISION:
        newer = record.schema_revision > REVISION
        mend = "Install a newer version of Neuronym" if newer else "Ask its owner to push it anew"
        raise LabelFileError(
            f"{found.name} holds files of schema {record.schema_revision[:20]!r} where this version reads "
            f"{REVISION!r}. {mend}."
        )
    for file in chosen:
        if not all(file.agrees(told) for told in record.files if told.file == file.name):
            raise LabelFileError(
                f"{file.name} of {found.name} has another hash than its card states. Ask its owner to push it anew."
            )


def _sweep(folder: Path) -> None:
    """Remove a download, and the folder of downloads if it was the last."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()
