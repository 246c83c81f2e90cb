"""A local hub that the commands use, and a library with a pair whose models are said to be the hub's."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_hub import TOKENS, Hub, served_hub, use_hub
from tests.worker.library.exported_files import change, current, make_library

OWNER, READER = TOKENS
COMMITS = {"base": "b" * 40, "chat": "c" * 40}


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub at HF_ENDPOINT, with the owner logged in; it has the two models, open and of one licence."""
    with served_hub() as hub:
        use_hub(hub, monkeypatch, tmp_path_factory.mktemp("hf-home"))
        monkeypatch.setenv("HF_TOKEN", OWNER)
        for name in COMMITS:
            hub.models[f"org/{name}"] = {"cardData": {"license": "apache-2.0"}}
        yield hub


@pytest.fixture(scope="package")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library to push from; nobody changes it."""
    data = make_library(tmp_path_factory.mktemp("pushed"))
    for name, commit in COMMITS.items():
        change(current(data, name), f"UPDATE model SET source = 'org/{name}', revision = '{commit}'")
    return data


@pytest.fixture
def own_library(library: Path, tmp_path: Path) -> Path:
    """A copy of it to be changed."""
    return shutil.copytree(library, tmp_path / "own")
