"""The tokenizer of a GGUF file equals the one that transformers makes of the file."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.gguf_files import Spelled, byte_level, make_model, sentence_piece, write_gguf
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.vocabulary import read_vocabulary
from worker.errors import CheckpointError

TEXTS = [
    "California is a state.  The dog",
    " abcd\n\nabcd ab",
    "<|im_start|>user\nhé 🐈<|im_end|>",
    "<s>a</s> b<unk>",
    "",
    "12 345'll",
]
CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "a b"}]


def pair(folder: Path, family: str, spelled: Spelled) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """The worker's tokenizer of a file and transformers'."""
    file = write_gguf(folder / "tiny.gguf", make_model(family), spelled)
    theirs = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
    assert isinstance(theirs, PreTrainedTokenizerFast)
    return open_checkpoint(str(file)).tokenizer, theirs


@pytest.mark.parametrize(
    "family, spelled",
    [
        ("llama", byte_level()),
        ("qwen2", byte_level()),
        ("gpt2", byte_level()),
        ("llama", sentence_piece()),
        ("gemma2", sentence_piece(("<bos>", "<unk>", "<eos>"))),
    ],
)
def test_it_is_the_one_transformers_makes(family: str, spelled: Spelled, tmp_path: Path) -> None:
    ours, theirs = pair(tmp_path, family, spelled)
    assert read_vocabulary(ours) == read_vocabulary(theirs)
    for text in TEXTS:
        for special in (True, False):
            ids = ours.encode(text, add_special_tokens=special)
            assert ids == theirs.encode(text, add_special_tokens=special)
            assert ours.decode(ids) == theirs.decode(ids)
    for prompt in (True, False):
        chat = ours.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=prompt)
        assert chat == theirs.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=prompt)
    for name in ("bos_token_id", "eos_token_id", "unk_token_id", "pad_token_id", "model_input_names"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_special_token_that_is_not_there(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", make_model())
    whole = file.read_bytes()
    at = whole.index(b"tokenizer.ggml.eos_token_id") + len("tokenizer.ggml.eos_token_id") + 4
    file.write_bytes(whole[:at] + (9999).to_bytes(4, "little") + whole[at + 4 :])
    with pytest.raises(CheckpointError, match="its eos_token_id is 9999, which cannot be"):
        _ = open_checkpoint(str(file)).tokenizer


@pytest.mark.parametrize(
    "old, new, words",
    [
        (b"tokenizer.ggml.tokens", b"tokenizer.ggml.tukens", "has no tokenizer"),
        (b"tokenizer.ggml.model", b"tokenizer.ggml.mudel", "no tokenizer that can be read"),
    ],
)
def test_no_tokenizer(old: bytes, new: bytes, words: str, tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", make_model())
    file.write_bytes(file.read_bytes().replace(old, new))
    with pytest.raises(CheckpointError, match=words):
        _ = open_checkpoint(str(file)).tokenizer
