"""The worker clamps the models of the library, and only with the weights they were mapped from."""

import re
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from neuronym.settings import Settings
from tests.checkpoints import LAYERS, make_checkpoint
from worker.errors import CheckpointError
from worker.library.checkpoints import PublishedCheckpoints
from worker.map_run import MapRun


def test_follows_the_library(tmp_path: Path) -> None:
    data = tmp_path / "data"
    published = PublishedCheckpoints(data)
    assert list(published) == []
    MapRun(Settings(data=data)).map([str(make_checkpoint(tmp_path / "a"))])
    assert list(published) == ["a"]
    MapRun(Settings(data=data)).map([str(make_checkpoint(tmp_path / "b", "gpt2"))])
    assert list(published) == ["a", "b"]
    assert published["b"]().architecture == "gpt2"
    with pytest.raises(KeyError):
        published["c"]


def test_changed_weights_are_refused(tmp_path: Path, tiny_llama: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    MapRun(Settings(data=tmp_path / "data")).map([str(folder)])
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="has changed since model was mapped"):
        PublishedCheckpoints(tmp_path / "data")["model"]()


def test_a_model_is_found_from_another_folder(
    tmp_path: Path, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_llama, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    MapRun(Settings(data=Path("data"))).map(["./model"])
    monkeypatch.chdir(tmp_path.parent)
    assert PublishedCheckpoints(tmp_path / "data")["model"]().layers == LAYERS


def test_a_model_that_was_moved_away(tmp_path: Path, tiny_llama: Path) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "my+model"))
    MapRun(Settings(data=tmp_path / "data")).map([str(folder)], ["model"])
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match=re.escape(f"model was mapped from {folder}, which is no longer there")):
        PublishedCheckpoints(tmp_path / "data")["model"]()
    MapRun(Settings(data=tmp_path / "data")).map([str(moved)], ["model"])  # what the sentence asks for
    assert PublishedCheckpoints(tmp_path / "data")["model"]().layers == LAYERS
