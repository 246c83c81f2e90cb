"""The tokenizer of a folder is the one that its files hold, or a sentence says which file to put there."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.checkpoints import make_tokenizer
from worker.checkpoints import folder_tokenizer
from worker.checkpoints.folder_tokenizer import read_tokenizer
from worker.errors import CheckpointError


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A model's folder without a tokenizer."""
    shutil.copytree(tiny_llama, tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer*", "*.jinja"))
    return tmp_path / "model"


def name_class(folder: Path, name: str) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_tokenizer("./model", folder)
    assert str(caught.value).startswith("./model has ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", [None, "LlamaTokenizer", "Qwen2Tokenizer", "PreTrainedTokenizerFast"])
def test_a_folder_without_one(folder: Path, name: str | None) -> None:
    """transformers gives an empty tokenizer for some of these."""
    if name:
        name_class(folder, name)
    assert "no tokenizer.json" in refused(folder)
    assert f"save_pretrained({str(folder)!r})" in refused(folder)
    make_tokenizer().save_pretrained(folder)  # what the sentence asks for
    assert read_tokenizer("./model", folder).get_vocab() == make_tokenizer().get_vocab()


def test_files_of_another_class(folder: Path) -> None:
    name_class(folder, "Qwen2Tokenizer")
    (folder / "vocab.txt").write_text("not looked at")
    assert len(AutoTokenizer.from_pretrained(folder)) == 1
    assert "no merges.txt, no tekken.json, no tiktoken.model, no tokenizer.json" in refused(folder)


def test_a_vocabulary_and_its_merges(folder: Path) -> None:
    name_class(folder, "GPT2Tokenizer")
    (folder / "vocab.json").write_text(json.dumps({"a": 0, "b": 1, "ab": 2}))
    assert "no tokenizer that can be read" in refused(folder)
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    assert read_tokenizer("./model", folder).tokenize("ab") == ["ab"]


def test_a_tokenizer_model_without_its_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed here: both answers of transformers on whether it is."""
    name_class(folder, "LlamaTokenizer")
    (folder / "tokenizer.model").write_bytes(b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    monkeypatch.setattr(folder_tokenizer, "is_sentencepiece_available", lambda: False)
    monkeypatch.setattr(folder_tokenizer, "is_protobuf_available", lambda: True)
    assert "Run `pip install sentencepiece`, or save a tokenizer.json" in refused(folder)
    monkeypatch.setattr(folder_tokenizer, "is_protobuf_available", lambda: False)
    assert "Run `pip install sentencepiece protobuf`, or" in refused(folder)


def test_a_tokenizer_json_that_is_damaged(folder: Path) -> None:
    (folder / "tokenizer.model").write_bytes(b"not looked at")
    (folder / "tokenizer.json").write_text("{")
    assert "no tokenizer that can be read: " in refused(folder) and "pip" not in refused(folder)
