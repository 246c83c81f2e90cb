"""`export-file`: the file of a model or pair that may leave, and what it must not hold."""

import getpass
import platform
import shutil
import socket
from pathlib import Path

import pytest

from neuronym.settings import Settings
from tests.checkpoints import make_checkpoint
from tests.worker.library.exported_files import QUICK, TEXT, change, command, current, make_library, on_disk, rows
from worker.checkpoints.spec import without_folders
from worker.map_run import MapRun
from worker.measuring.measure import Measurement


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_library(tmp_path_factory.mktemp("library"))


def test_a_file_that_leaves_holds_no_path_user_or_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searched byte by byte, as DuckDB keeps texts that were changed."""
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "wilhelmina")
    monkeypatch.setattr(socket, "gethostname", lambda: "tellinghost")
    monkeypatch.setattr(platform, "node", lambda: "tellinghost")
    home = tmp_path / "wilhelmina" / "zanzibar"
    data, text = home / "data", home / "notes.txt"
    model = make_checkpoint(home / "mymodel")
    MapRun(Settings(data=data), QUICK).map([str(model)], ["mine"])
    text.write_text(TEXT)
    Measurement(Settings(data=data), text=text).measure("mine")
    assert command(data, "export-file", "mine", tmp_path / "out.duckdb").exit_code == 0
    telling = ["wilhelmina", "zanzibar", "tellinghost", str(tmp_path), "/wt", "file://"]
    telling += [name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 5]
    found = (tmp_path / "out.duckdb").read_bytes()
    assert [word for word in telling if word.encode() in found] == []
    assert rows(tmp_path / "out.duckdb", "SELECT name, source FROM model") == [("mine", "mymodel")]
    kept = current(data, "mine").read_bytes()
    assert b"zanzibar" in kept and b"mymodel" in found  # or the search would find nothing anyway
    shutil.copy(current(data, "mine"), tmp_path / "changed.duckdb")
    change(tmp_path / "changed.duckdb", "UPDATE model SET source = 'mymodel'")
    assert b"zanzibar" in (tmp_path / "changed.duckdb").read_bytes()  # why the file is built anew


def test_no_column_of_any_file_holds_a_path(library: Path, tmp_path: Path) -> None:
    for name in ("base", "chat", "both"):
        file = tmp_path / f"{name}.duckdb"
        assert command(library, "export-file", name, file).exit_code == 0
        assert str(library.parent).encode() not in file.read_bytes()
        texts = rows(
            file, "SELECT table_name, column_name FROM duckdb_columns() WHERE data_type = 'VARCHAR' AND NOT internal"
        )
        assert len(texts) > 20
        for table, column in texts:
            for (text,) in rows(
                file, f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL AND '{table}' <> 'token'"
            ):
                assert str(library.parent) not in text and "/home" not in text, (table, column)


def test_all_rows_leave(library: Path, tmp_path: Path) -> None:
    for name in ("chat", "both"):
        file = tmp_path / f"{name}.duckdb"
        command(library, "export-file", name, file)
        for (table,) in rows(file, "SELECT table_name FROM duckdb_tables()"):
            if table not in ("model", "build"):
                assert rows(file, f"FROM {table}") == rows(current(library, name), f"FROM {table}"), table


def test_a_file_is_replaced_when_forced_alone(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = on_disk(library)
    (tmp_path / "base.duckdb").write_text("mine")
    (tmp_path / ".building-mine").touch()
    refused = command(library, "export-file", "base")
    assert refused.exit_code == 1 and "There is a file base.duckdb already" in refused.output
    assert (tmp_path / "base.duckdb").read_text() == "mine"
    assert command(library, "export-file", "base", "--force").output == "base: written to base.duckdb.\n"
    assert rows(tmp_path / "base.duckdb", "SELECT name FROM model") == [("base",)]
    assert {path.name for path in tmp_path.iterdir()} == {"base.duckdb", ".building-mine"}
    assert on_disk(library) == before


@pytest.mark.parametrize(
    ("name", "path", "sentence"),
    [
        ("nope", "x.duckdb", "There is no 'nope' in the library. There is: chat, base, both."),
        ("base", "none/x.duckdb", "There is no folder"),
        ("base", "wh?t.duckdb", "question mark"),
        ("base", ".", "is a folder"),
    ],
)
def test_what_cannot_be_written_is_said(library: Path, tmp_path: Path, name: str, path: str, sentence: str) -> None:
    refused = command(library, "export-file", name, tmp_path / path)
    assert refused.exit_code == 1 and sentence in refused.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spec", "adapter", "kept"),
    [
        ("org/model", None, "org/model"),
        ("demo", None, "demo"),
        ("/home/me/models/llama", None, "llama"),
        ("/home/me/a+b/llama.gguf", None, "llama.gguf"),
        ("~/llama", None, "llama"),
        ("../llama", None, "llama"),
        ("standin", "/opt/neuronym/standin", "standin"),
        ("/home/me/llama+/home/me/lora", "/home/me/lora", "llama+lora"),
        ("/home/me/a+b/llama+/home/me/x+y", "/home/me/x+y", "llama+x+y"),
        ("org/model@c0ffee+/home/me/lora", "/home/me/lora", "org/model@c0ffee+lora"),
        ("org/model@c0ffee+org/lora@beef", "/home/me/hub/snapshots/beef", "org/model@c0ffee+org/lora@beef"),
        ("llama+lora", "lora", "llama+lora"),
    ],
)
def test_a_source_keeps_the_last_part_of_its_paths(spec: str, adapter: str | None, kept: str) -> None:
    assert without_folders(spec, adapter) == kept
