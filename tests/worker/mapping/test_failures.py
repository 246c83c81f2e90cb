"""Full disks, damaged files, weights that are no numbers: a sentence says what to do, and the old file is served."""

import json
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from neuronym.contract import View
from neuronym.library import read_catalogue
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, make_checkpoint
from tests.reading import rows
from worker.cli.group import main
from worker.map_run import MapRun
from worker.mapping.mapping import Progress
from worker.mapping.progress import BUILDING

UP = "model.layers.3.mlp.up_proj.weight"


def run(checkpoint: Path, data: Path, name: str = "second") -> tuple[int, str]:
    result = CliRunner().invoke(main, ["map", str(checkpoint), "--name", name, "--data", str(data)])
    return result.exit_code, result.output


def refused(checkpoint: Path, data: Path, *words: str, room: AbstractContextManager[None] | None = None) -> None:
    """Check that the command ends in one line with these words, and that the library is unchanged."""
    before = read_catalogue(data)
    with room or nullcontext():
        code, output = run(checkpoint, data)
    assert code == 1
    *progress, error = output.splitlines()
    assert error.startswith("Error: ") and all(word in error for word in words), output
    assert all(" mapped, " in line or line == BUILDING for line in progress), output
    assert read_catalogue(data) == before
    assert rows(data, "SELECT name FROM model") == [("first",)]
    assert not list(data.rglob(".building-*"))


def shards(data: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (data / ".mapping").rglob("label-*.parquet")}


class Disk(Protocol):
    """A folder on a disk that can be nearly full."""

    folder: Path

    def room(self, size: int) -> AbstractContextManager[None]:
        """Let only `size` bytes be written inside the block."""
        ...


class SmallDisk:
    """A file system in memory, of a size that tests set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True, capture_output=True)

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        disk = os.statvfs(self.folder)
        self._resize((disk.f_blocks - disk.f_bfree) * disk.f_frsize + size)
        yield
        self._resize(64 * 2**20)

    def _resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)


class ShortFiles:
    """A disk on which files cannot grow beyond a limit, as a quota has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=[SmallDisk, ShortFiles])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk with room, to begin with."""
    try:
        mounted: Disk = request.param(tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system takes rights that these tests do not have")
    yield mounted
    if request.param is SmallDisk:
        subprocess.run(["umount", tmp_path / "disk"], check=True)


def test_a_full_disk_while_mapping_and_while_publishing(tiny_llama: Path, tmp_path: Path, disk: Disk) -> None:
    data, other = disk.folder, make_checkpoint(tmp_path / "other", seed=1)
    assert run(tiny_llama, data, "first")[0] == 0

    a_shard_at_most, no_label_file = disk.room(10_000), disk.room(600_000)
    refused(other, data, "cannot be written", "Free some space", "it goes on where it was", room=a_shard_at_most)
    assert not list((data / ".mapping").rglob("*.unfinished"))
    refused(other, data, "disk", "full", "it goes on where it was", room=no_label_file)
    assert len(shards(data)) == LAYERS * len(View)

    assert run(other, data)[0] == 0
    assert rows(data, "SELECT name FROM model") == [("first",), ("second",)]
    assert rows(data, "SELECT count(*), count(DISTINCT (model, view, lens, layer, neuron)) FROM label") == [
        (2304, 2304)
    ]


def test_a_damaged_weight_file(tiny_llama: Path, tmp_path: Path) -> None:
    data, other = tmp_path / "data", make_checkpoint(tmp_path / "other", seed=1)
    assert run(tiny_llama, data, "first")[0] == 0
    file = other / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused(other, data, "model.safetensors cannot be read", "Download it again")
    file.write_bytes(whole)
    assert run(other, data)[0] == 0
    assert rows(data, "SELECT name FROM model") == [("first",), ("second",)]


def test_a_missing_weight_file_of_several(tiny_llama: Path, tmp_path: Path) -> None:
    data, other = tmp_path / "data", make_checkpoint(tmp_path / "other", seed=1)
    assert run(tiny_llama, data, "first")[0] == 0
    tensors = load_file(other / "model.safetensors")
    (other / "model.safetensors").unlink()
    save_file(tensors, other / "model-00001-of-00002.safetensors", metadata={"format": "pt"})
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00002.safetensors")}
    index["weight_map"]["lm_head.weight"] = "model-00002-of-00002.safetensors"
    (other / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(other, data, "lacks model-00002-of-00002.safetensors", "Download")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers(tiny_llama: Path, tmp_path: Path, value: float) -> None:
    data, other = tmp_path / "data", make_checkpoint(tmp_path / "other", seed=1)
    assert run(tiny_llama, data, "first")[0] == 0
    file = other / "model.safetensors"
    tensors = load_file(file)
    before = tensors[UP][3, 4].clone()
    tensors[UP][3, 4] = value
    save_file(tensors, file, metadata={"format": "pt"})
    refused(other, data, UP.removesuffix(".weight"), "not finite", "Download it again")
    assert len(shards(data)) == 3 * len(View)  # of the layers below it
    tensors[UP][3, 4] = before
    save_file(tensors, file, metadata={"format": "pt"})
    assert run(other, data)[0] == 0
    assert rows(data, "SELECT count(*) FROM label WHERE model = 1") == rows(
        data, "SELECT count(*) FROM label WHERE model = 0"
    )


def test_a_shard_that_was_damaged_is_mapped_again(tiny_llama: Path, data_folder: Path, tmp_path: Path) -> None:
    def cut_off(progress: Progress) -> None:
        if progress.layers_done == LAYERS:
            raise KeyboardInterrupt  # so that nothing is published

    with pytest.raises(KeyboardInterrupt):
        MapRun(Settings(data=tmp_path), report=cut_off).map([str(tiny_llama)], ["tiny"])
    written = shards(tmp_path)
    (neighbours,) = tmp_path.rglob("neighbour-up-0001.parquet")
    content = bytearray(neighbours.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    neighbours.write_bytes(content)
    (labels,) = tmp_path.rglob("label-gate-0003.parquet")
    labels.write_bytes(labels.read_bytes()[:-20])
    assert run(tiny_llama, tmp_path, "tiny")[0] == 0
    assert len(written) == LAYERS * len(View)
    for table in ("label", "neighbour"):
        assert rows(tmp_path, f"FROM {table} ORDER BY ALL") == rows(data_folder, f"FROM {table} ORDER BY ALL")


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("NEURONYM_MEMORY_LIMIT", "50%", "NEURONYM_MEMORY_LIMIT should be greater than"),
        ("NEURONYM_THREADS", "many", "NEURONYM_THREADS should be a valid integer"),
        ("NEURONYM_TOKEN", "guessable", "NEURONYM_TOKEN: is too short to be a secret"),
    ],
)
@pytest.mark.parametrize("command", ["map", "effect"])
def test_settings_that_cannot_be_meant_end_in_a_sentence(
    name: str, value: str, sentence: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    ended = CliRunner().invoke(main, [command])
    assert ended.exit_code == 1
    assert ended.output.startswith(f"Error: {sentence}")
    assert value not in ended.output
