"""Pushing: the label file of a model, or of a pair and its models, into a dataset repository, in one commit.

What is there already stays and is not sent again. Changes no library.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from neuronym.settings import Settings
from worker.errors import LabelFileError
from worker.hub.base_models import check_licence, find_origins
from worker.hub.card import write_card
from worker.hub.exports import SentFile, export, export_folder, record_of
from worker.hub.facts import Contents, Terms, read_contents
from worker.hub.progress import ReportTransfer
from worker.hub.refusals import check_login, check_repository, hub_refusals
from worker.hub.repository import CARD, CardRecord, FileRecord, Repository, blob_hash, find_repository


@dataclass(frozen=True)
class Wishes:
    """What the user asks for; `to` and `message` are made up where they are None."""

    to: str | None = None
    public: bool = False
    licence: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Pushed:
    """What the repository holds now; `sent` are the files that it did not hold before, the card among them."""

    repository: str
    commit: str
    sent: list[str]


def push(name: str, settings: Settings, wishes: Wishes, report: ReportTransfer) -> Pushed:
    """Push a model, or a pair with its models.

    Raises:
        LabelFileError: there is no such name, it may not be public, the repository holds something else, or the hub
            refuses or cannot be reached.
    """
    contents = read_contents(name, settings)
    check_login()
    repository = wishes.to or _own_repository(name)
    check_repository(repository)
    terms = _terms(contents, wishes)
    before = find_repository(repository)
    if before:
        _check_fits(before, contents, wishes)
    kept = _kept_records(before, contents) if before else {}
    with export_folder(settings.data, name) as folder:
        exported = {one.file: export(one, folder, settings) for one in contents.files if one.file not in kept}
        records = [kept.get(one.file) or record_of(one, exported[one.file]) for one in contents.files]
        record = CardRecord(schema_revision=contents.schema, files=records)
        card = write_card(repository, contents, record, terms).encode()
        if before and not exported and _holds(before, card):
            return Pushed(repository, before.commit, [])
        if before is None:
            _create(repository, wishes.public)
        message = wishes.message or f"Label files of {name}, run {contents.files[-1].run}"
        commit = _commit(repository, before, exported.values(), card, message, report)
    return Pushed(repository, commit, [*exported, CARD])


def _own_repository(name: str) -> str:
    """The repository of the user who is logged in."""
    with hub_refusals(name):
        return f"{HfApi().whoami()['name']}/neuronym-{name}"


def _terms(contents: Contents, wishes: Wishes) -> Terms:
    """Where the labels come from and under which licence they go; refuses what would be more open than the model."""
    if wishes.licence is not None:
        check_licence(wishes.licence)
    origins = find_origins(contents.rows)
    reason = origins.reason_for_privacy()
    if wishes.public and reason and wishes.licence is None:
        raise LabelFileError(
            f"--public is refused, for {reason}. Leave it out, or say by --license NAME under which licence you may "
            "publish labels of it."
        )
    return Terms(origins, wishes.licence or origins.licence)


def _check_fits(before: Repository, contents: Contents, wishes: Wishes) -> None:
    """Refuse a repository that is seen by others than the user says, or that holds something else."""
    if before.private == wishes.public:
        seen, mend = ("private", "Leave out --public") if wishes.public else ("public", "Give --public if it may be")
        raise LabelFileError(f"{before.name} is {seen} already. {mend}, or give another --to.")
    others = [file.name for file in before.label_files if file.name not in {one.file for one in contents.files}]
    if others:
        raise LabelFileError(f"{before.name} holds {others[0]}, which is of something else. Give another --to.")
    if before.record is None and before.find(CARD):
        raise LabelFileError(f"{before.name} has a card of its own, which would be lost. Give another --to.")


def _kept_records(before: Repository, contents: Contents) -> dict[str, FileRecord]:
    """The records of the files that the repository has as they are now, by name."""
    record = before.record
    if record is None or record.schema_revision != contents.schema:
        return {}
    runs = {one.file: one.run for one in contents.files}
    told = {one.file: one for one in record.files if runs.get(one.file) == one.run}
    return {name: one for name, one in told.items() if (there := before.find(name)) and there.agrees(one)}


def _holds(before: Repository, card: bytes) -> bool:
    """Whether the repository has this very card."""
    there = before.find(CARD)
    return there is not None and there.blob == blob_hash(card)


def _create(repository: str, public: bool) -> None:
    with hub_refusals(repository, writing=True):
        HfApi().create_repo(repository, repo_type="dataset", private=not public)


def _commit(
    repository: str,
    before: Repository | None,
    files: Iterable[Path],
    card: bytes,
    message: str,
    report: ReportTransfer,
) -> str:
    """Send files and card in one commit, on top of what was looked at; return its id."""
    with ExitStack() as opened, hub_refusals(repository, writing=True):
        sent = [opened.enter_context(SentFile(path)) for path in files]
        additions = [CommitOperationAdd(file.file, file) for file in sent]
        for file in sent:
            file.report = report
        done = HfApi().create_commit(
            repository,
            [*additions, CommitOperationAdd(CARD, card)],
            commit_message=message,
            repo_type="dataset",
            parent_commit=before.commit if before else None,
        )
    return done.oid
