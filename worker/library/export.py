"""The current file of a model or pair as a file that may leave: it holds no path, user, host or secret.

A model's file is built anew from its contents, as DuckDB keeps what was changed in free blocks. Changes no library.
"""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from neuronym.library import LabelFileEntry, label_file
from neuronym.settings import Settings
from worker.errors import LabelFileError
from worker.labelfile.foreign_model import without_paths
from worker.labelfile.model_file import build_model_file, stored_contents
from worker.library.current import read_library, unknown_name


def export_file(name: str, path: Path, settings: Settings, force: bool = False) -> None:
    """Write the current file of a model, or else of a pair, to `path`, whole or not at all.

    Args:
        force: replace a file that is there.

    Raises:
        LabelFileError: there is no such name, there is a file already, or `path` cannot be written.
    """
    folder = path.resolve().parent
    if not folder.is_dir():
        raise LabelFileError(f"There is no folder {folder} to write to. Make it, or give another path.")
    if "?" in str(path.resolve()):
        raise LabelFileError(f"DuckDB writes no files where a path has a question mark, as {path} has. Give another.")
    _refuse_existing(path, force)
    library = read_library(settings.data)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".exporting-") as place:
            built = Path(place) / "built.duckdb"
            if model := library.find("model", name):
                _build(built, model, settings)
            elif pair := library.find("pair", name):
                shutil.copyfile(label_file(settings.data, "pair", pair), built)  # names and numbers, never changed
            else:
                raise unknown_name(library, name)
            _refuse_existing(path, force)
            with built.open("rb") as file:
                os.fsync(file.fileno())
            built.replace(path)
    except OSError as error:
        raise LabelFileError(f"{path} cannot be written ({error.strerror}). Give another path.") from error


def _build(built: Path, model: LabelFileEntry, settings: Settings) -> None:
    contents = stored_contents(label_file(settings.data, "model", model))
    build_model_file(built, model.run, replace(contents, model=without_paths(contents.model)), settings.memory_limit)


def _refuse_existing(path: Path, force: bool) -> None:
    if path.is_dir():
        raise LabelFileError(f"{path} is a folder. Give the path of a file.")
    if path.exists() and not force:
        raise LabelFileError(f"There is a file {path} already. Give another path, or --force to replace it.")
