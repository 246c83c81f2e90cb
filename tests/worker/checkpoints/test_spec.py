"""A plus in a spec stands before an adapter, or in a folder's name: what is on disk decides, or a sentence asks."""

from pathlib import Path

import pytest

from worker.checkpoints.sources import resolve
from worker.checkpoints.spec import split_spec
from worker.errors import CheckpointError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that relative paths begin at."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*folders: str, adapter: bool = False) -> None:
    for folder in folders:
        Path(folder).mkdir(parents=True)
        if adapter:
            (Path(folder) / "adapter_config.json").touch()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "spec, model, adapter",
    [
        ("plain", "plain", None),
        ("my+model", "my+model", None),
        ("my+model+lora", "my+model", "lora"),
        ("plain+lora+v2", "plain", "lora+v2"),
        ("my+model+lora+v2", "my+model", "lora+v2"),
        ("./my+model+./lora+v2", "./my+model", "./lora+v2"),
        ("c++/model+lora", "c++/model", "lora"),
        ("org/model@v1+lora+v2", "org/model@v1", "lora+v2"),
        ("my+model+org/lora@v1", "my+model", "org/lora@v1"),
        ("org/model+org/lora", "org/model", "org/lora"),
        ("demo+lora+v2", "demo", "lora+v2"),
        ("my+model+gone", "my+model", "gone"),
        ("gone+model+lora+v2", "gone+model", "lora+v2"),
        ("/gone+model+/gone/lora", "/gone+model", "/gone/lora"),
        ("a+", "a+", None),
        ("+a", "+a", None),
    ],
)
def test_where_a_spec_is_split(spec: str, model: str, adapter: str | None) -> None:
    make("plain", "my+model", "c++/model")
    make("lora", "lora+v2", adapter=True)
    assert split_spec(spec) == (model, adapter)


def test_folders_with_a_plus_are_found(here: Path) -> None:
    make("my+model")
    make("lora+v2", adapter=True)
    source = resolve("my+model+lora+v2")
    assert (source.folder, source.adapter, source.name) == (here / "my+model", here / "lora+v2", "my-model-lora-v2")
    with pytest.raises(CheckpointError, match=r"no adapter folder 'lora\+v3'"):
        resolve("my+model+lora+v3")


def test_two_ways_to_read_a_spec(here: Path) -> None:
    make("base", "base+lora")
    make("lora", "lora+v2", adapter=True)
    make("v2", adapter=True)
    with pytest.raises(CheckpointError, match=r"can be read as 'base\+lora', or 'base' with adapter 'lora'. Write"):
        split_spec("base+lora")
    with pytest.raises(CheckpointError, match=r"'base' with adapter 'lora\+v2', or 'base\+lora' with adapter 'v2'"):
        split_spec("base+lora+v2")
    # what the sentence asks for
    assert split_spec("base+./lora") == ("base", "./lora")
    assert split_spec("base+./lora+v2") == ("base", "./lora+v2")
    assert split_spec("base+lora+./v2") == ("base+lora", "./v2")
    assert split_spec(f"{here}/base+lora") == (f"{here}/base+lora", None)


@pytest.mark.usefixtures("here")
def test_a_folder_that_is_no_adapter_leaves_no_doubt() -> None:
    make("base", "base+lora", "lora")
    assert split_spec("base+lora") == ("base+lora", None)
