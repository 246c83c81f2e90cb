"""Folders that label files are published into: any letters in their path, and a refusal before the work."""

import errno
import fcntl
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from neuronym.settings import Settings
from tests.checkpoints import make_checkpoint
from tests.reading import rows
from worker.errors import LabelFileError
from worker.library.data_folder import check_data_folder
from worker.map_run import MapRun


def test_any_letters_in_the_path(tiny_llama: Path, tmp_path: Path) -> None:
    """Mapped into, added to, and served."""
    data = tmp_path / "a=b" / "da ta:1 'q'\"%20#[*]{x}&;\\$~é+"
    MapRun(Settings(data=data)).map([str(tiny_llama)], ["first"])
    MapRun(Settings(data=data)).map([str(make_checkpoint(tmp_path / "b", "gpt2"))], ["second"])
    assert rows(data, "SELECT name FROM model") == [("first",), ("second",)]
    assert [path.name for path in data.parent.iterdir()] == [data.name]
    with TestClient(create_app(Settings(data=data))) as client:
        found = client.get("/api/v1/search", params={"q": "California"}).json()
    assert {result["model"] for result in found["results"]} == {"first", "second"}


def test_a_question_mark_in_the_path(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="question mark"):
        MapRun(Settings(data=tmp_path / "da?ta")).map([str(tiny_llama)])
    assert not (tmp_path / "da?ta").exists()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network shares answer. The model is not looked for before."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(LabelFileError, match=r"no locks .*NEURONYM_DATA"):
        MapRun(Settings(data=tmp_path / "data")).map([str(tmp_path / "no-model")])
    assert not list(tmp_path.iterdir())


def test_what_other_checks_tell_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    check_data_folder(tmp_path / "data")
    monkeypatch.setattr(fcntl, "flock", refuse)
    check_data_folder(tmp_path / "data")
    assert not list(tmp_path.iterdir())
