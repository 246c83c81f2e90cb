"""Files that travel, in tests: a library to export from, changes made to a file, and rows of one."""

from pathlib import Path
from typing import Any

import duckdb
from click.testing import CliRunner, Result

from neuronym.contract import View
from neuronym.library import FileKind, label_file, read_catalogue
from neuronym.settings import Settings
from tests.checkpoints import make_checkpoint
from worker.cli.group import main
from worker.map_run import MapRun
from worker.mapping.recipe import MapRecipe
from worker.measuring.measure import Measurement

QUICK = MapRecipe(views=(View.up,), layers=range(1))
TEXT = "My favourite animal is the dog. I live in a place called California. " * 60


def make_library(folder: Path) -> Path:
    """A data folder with the pair `both` of `base` and `chat`, of which `chat` is measured; one layer is mapped."""
    data = folder / "data"
    first, second = make_checkpoint(folder / "base"), make_checkpoint(folder / "chat", seed=1)
    MapRun(Settings(data=data), QUICK).map_pair(str(first), str(second), ["base", "chat"], "both", "A note.")
    text = folder / "notes.txt"
    text.write_text(TEXT)
    Measurement(Settings(data=data), text=text).measure("chat")
    return data


def command(data: Path, *arguments: str | Path) -> Result:
    """Run `neuronym-worker` on a data folder."""
    return CliRunner().invoke(main, [*map(str, arguments), "--data", str(data)])


def current(data: Path, name: str) -> Path:
    """The current file of a model or pair."""
    library = read_catalogue(data)
    kind: FileKind = "model" if library.find("model", name) else "pair"
    entry = library.find(kind, name)
    assert entry is not None
    return label_file(data, kind, entry)


def rows(file: Path, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a label file."""
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(statement).fetchall()


def change(file: Path, *statements: str) -> None:
    """Change a label file, as its maker could."""
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)


def on_disk(data: Path) -> dict[str, bytes]:
    """All files of a library with their content, but for the locks, and folders but for those of all names."""
    return {
        path.relative_to(data).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in data.rglob("*")
        if ".holds" not in path.parts and path.name not in ("models", "pairs")
    }
