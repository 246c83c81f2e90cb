"""Copies of planted label files with something changed in them: as if the model were mapped again, or were another."""

import shutil
from pathlib import Path

import duckdb

from neuronym.library import Catalogue, FileKind, LabelFileEntry, label_file


def copy_file(data: Path, kind: FileKind, entry: LabelFileEntry, copy: LabelFileEntry, *changes: str) -> LabelFileEntry:
    """Copy a label file to the name and run of another entry, and run statements on the copy. Publishes nothing."""
    path = label_file(data, kind, copy)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(label_file(data, kind, entry), path)
    with duckdb.connect(str(path)) as connection:
        for change in changes:
            connection.execute(change)
    return copy


def with_model(catalogue: Catalogue, entry: LabelFileEntry, run: str) -> Catalogue:
    """A catalogue in which the file of a model is this one."""
    models = tuple(entry if known.name == entry.name else known for known in catalogue.models)
    return catalogue.model_copy(update={"run": run, "models": models})
