"""A model in several GGUF files is the one that it was written from, whichever part is given; odd parts are refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from neuronym.contract import View
from tests.gguf_files import make_model, write_gguf, write_parts
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.gguf_parts import read_model_header
from worker.errors import CheckpointError

IDS = torch.arange(7, 57)[None]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return make_model()


@pytest.fixture
def parts(model: PreTrainedModel, tmp_path: Path) -> list[Path]:
    """The files of a model in four parts."""
    files = write_parts(tmp_path / "Tiny.gguf", model, tensors=11)
    assert [file.name for file in files] == [f"Tiny-0000{number}-of-00004.gguf" for number in (1, 2, 3, 4)]
    return files


@pytest.mark.parametrize("given", [0, 1, 3])
def test_any_part_gives_the_whole_model(model: PreTrainedModel, parts: list[Path], given: int) -> None:
    whole = open_checkpoint(str(write_gguf(parts[0].with_name("whole.gguf"), model)))
    checkpoint = open_checkpoint(str(parts[given]))
    assert (checkpoint.name, checkpoint.reader.files) == ("tiny", parts)
    assert checkpoint.vocabulary == whole.vocabulary
    assert checkpoint.config.to_dict() == whole.config.to_dict()
    for layer in range(checkpoint.layers):
        name = f"model.layers.{layer}.mlp."
        for view, module in ((View.up, "up_proj"), (View.gate, "gate_proj")):
            assert torch.equal(checkpoint.rows(view, layer), model.get_parameter(f"{name}{module}.weight"))
        assert torch.equal(checkpoint.rows(View.down, layer), model.get_parameter(f"{name}down_proj.weight").T)
    assert torch.equal(checkpoint.head(), model.get_parameter("model.embed_tokens.weight"))
    live, _ = checkpoint.load(torch.device("cpu"), torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(live(IDS).logits, model(IDS).logits, atol=1e-4, rtol=1e-4)


def test_a_first_part_without_tensors(model: PreTrainedModel, tmp_path: Path) -> None:
    files = write_parts(tmp_path / "tiny.gguf", model, tensors=20, bare_first=True)
    assert not gguf.GGUFReader(files[0]).tensors
    header = read_model_header(files[-1])
    assert header.files == tuple(files)
    for file in files:
        for tensor in gguf.GGUFReader(file).tensors:
            packed = header.tensors.pop(tensor.name)
            assert (packed.file, packed.offset) == (file, tensor.data_offset)
    assert not header.tensors


def test_the_hash_covers_every_part(parts: list[Path]) -> None:
    before = open_checkpoint(str(parts[0])).source_hash
    assert open_checkpoint(str(parts[2])).source_hash == before
    changed = bytearray(parts[3].read_bytes())
    changed[-4:] = b"\0\0\1\0"
    parts[3].write_bytes(changed)
    assert open_checkpoint(str(parts[0])).source_hash != before


def test_parts_that_are_links_as_in_the_hubs_cache(parts: list[Path], tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for number, part in enumerate(parts):
        part.rename(blobs / str(number))
        (snapshot / part.name).symlink_to(blobs / str(number))
    checkpoint = open_checkpoint(str(snapshot / parts[1].name))
    assert checkpoint.name == "tiny"
    spec = checkpoint.source.portable
    assert open_checkpoint(spec).source_hash == checkpoint.source_hash


def refused(file: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(file))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_part_that_is_missing(parts: list[Path]) -> None:
    parts[2].unlink()
    assert "Tiny-00003-of-00004.gguf is not beside it" in refused(parts[0])
    assert "Tiny-00003-of-00004.gguf is not beside it" in refused(parts[3])


def test_names_that_do_not_say_what_the_settings_say(parts: list[Path]) -> None:
    renamed = parts[1].with_name("second.gguf")
    shutil.copy(parts[1], renamed)
    assert "its name should be second-00002-of-00004.gguf. Rename it" in refused(renamed)
    fewer = parts[1].with_name("Tiny-00002-of-00003.gguf")
    shutil.copy(parts[1], fewer)
    assert "part 2 of 4 of a model by its own settings" in refused(fewer)
    shutil.copy(parts[1], parts[2])
    assert "Tiny-00003-of-00004.gguf is part 2 of 4" in refused(parts[0])
    whole = parts[0].with_name("whole-00001-of-00002.gguf")
    shutil.copy(write_gguf(parts[0].with_name("whole.gguf"), make_model()), whole)
    assert "named as one of 2 parts of a model, but holds no settings of a part" in refused(whole)
    assert open_checkpoint(str(whole.rename(whole.with_name("w-00001-of-00001.gguf")))).name == "w"


def test_one_of_the_parts_is_cut_short(parts: list[Path]) -> None:
    parts[3].write_bytes(parts[3].read_bytes()[:-300])
    assert "Tiny-00004-of-00004.gguf is damaged or cut short" in refused(parts[0])


Write = Callable[[gguf.GGUFWriter], None]


def write_out(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_pair(folder: Path, first: Write, second: Write, total: int = 2, count: int = 2) -> Path:
    """Two parts of one tensor each, that say to hold `total` tensors; the second says to be of `count` parts."""
    for place, write in enumerate((first, second)):
        writer = gguf.GGUFWriter(folder / f"x-{place + 1:05d}-of-00002.gguf", "llama")
        writer.add_uint16("split.no", place)
        writer.add_uint16("split.count", count if place else 2)
        writer.add_int32("split.tensors.count", total)
        write(writer)
        write_out(writer)
    return folder / "x-00001-of-00002.gguf"


def tensor(name: str) -> Write:
    return lambda writer: writer.add_tensor(name, np.ones((2, 32), np.float32))


def test_parts_that_disagree(tmp_path: Path) -> None:
    def join(first: Write, second: Write, total: int = 2, count: int = 2) -> str:
        with pytest.raises(CheckpointError) as caught:
            read_model_header(write_pair(tmp_path, first, second, total, count))
        return str(caught.value)

    def other(writer: gguf.GGUFWriter) -> None:
        tensor("b")(writer)
        writer.add_string("general.name", "Another")

    assert set(read_model_header(write_pair(tmp_path, tensor("a"), tensor("b"))).tensors) == {"a", "b"}
    words = "x-00002-of-00002.gguf holds the tensor 'a', which x-00001-of-00002.gguf holds, too"
    assert words in join(tensor("a"), tensor("a"), total=1)
    assert "says that the model has 3 tensors, but its parts hold 2" in join(tensor("a"), tensor("b"), total=3)
    assert "x-00002-of-00002.gguf is part 2 of 5 of a model" in join(tensor("a"), tensor("b"), count=5)
    assert "x-00002-of-00002.gguf has the setting 'general.name'" in join(tensor("a"), other)
    assert "its split.tensors.count is -1. Download" in join(tensor("a"), tensor("b"), total=-1)


def test_a_folder_of_gguf_files_names_them(parts: list[Path], tmp_path: Path) -> None:
    assert f"has no config.json, but GGUF files. Give one of these itself, such as {parts[0]}" in refused(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "has no config.json. Give the folder that save_pretrained wrote" in refused(tmp_path / "empty")


def test_a_file_that_holds_no_model(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "mmproj.gguf", "clip")
    writer.add_type("mmproj")
    tensor("a")(writer)
    write_out(writer)
    assert "mmproj.gguf holds no model, but what GGUF calls 'mmproj'" in refused(tmp_path / "mmproj.gguf")
