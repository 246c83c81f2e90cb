"""A tokenizer or chat template beside an adapter is used as peft's users expect; unless the head cannot name it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.checkpoints import VOCAB, make_tokenizer
from tests.gguf_files import make_model, write_gguf
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.vocabulary import read_vocabulary
from worker.errors import CheckpointError

TEMPLATE = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
CHAT = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "lora"
    folder.mkdir()
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_"
    save_file(
        {f"{name}A.weight": torch.ones(1, 32), f"{name}B.weight": torch.ones(48, 1)},
        folder / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["up_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(params=["folder", "gguf"])
def base(request: pytest.FixtureRequest, tiny_llama: Path, tmp_path: Path) -> Path:
    return tiny_llama if request.param == "folder" else write_gguf(tmp_path / "tiny.gguf", make_model())


def with_tokens(*tokens: str) -> PreTrainedTokenizerFast:
    """The tests' own tokenizer, which leaves eight rows of the head free, with more tokens and another template."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(list(tokens))
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def chat(tokenizer: PreTrainedTokenizerFast) -> object:
    return tokenizer.apply_chat_template(CHAT, tokenize=False)


def test_the_adapters_tokenizer_is_used(base: Path, adapter: Path) -> None:
    with_tokens("<tool>").save_pretrained(adapter)
    theirs = AutoTokenizer.from_pretrained(adapter)
    assert isinstance(theirs, PreTrainedTokenizerFast)
    tuned = open_checkpoint(f"{base}+{adapter}")
    assert tuned.vocabulary == read_vocabulary(theirs)
    assert tuned.vocabulary.hash != open_checkpoint(str(base)).vocabulary.hash
    assert tuned.tokenizer.encode("a <tool>California") == theirs.encode("a <tool>California")
    assert (tuned.tokenizer.eos_token_id, chat(tuned.tokenizer)) == (theirs.eos_token_id, "[Hi]")
    _, live = tuned.load(torch.device("cpu"), torch.float32)
    assert chat(live) == "[Hi]"


def test_a_chat_template_alone_goes_with_the_base_models_tokenizer(base: Path, adapter: Path) -> None:
    plain = open_checkpoint(str(base))
    assert chat(open_checkpoint(f"{base}+{adapter}").tokenizer) == chat(plain.tokenizer)
    named = [{"name": "default", "template": TEMPLATE}, {"name": "tool_use", "template": "[tools]"}]
    for template in (None, named, TEMPLATE):
        (adapter / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
        tuned = open_checkpoint(f"{base}+{adapter}")
        assert tuned.vocabulary == plain.vocabulary
        assert chat(tuned.tokenizer) == ("[Hi]" if template else chat(plain.tokenizer))
    (adapter / "chat_template.jinja").write_text("a file")
    assert chat(open_checkpoint(f"{base}+{adapter}").tokenizer) == "a file"


def refused(base: Path, adapter: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        _ = open_checkpoint(f"{base}+{adapter}").tokenizer
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tokens_that_the_head_has_no_row_for(tiny_llama: Path, adapter: Path, tmp_path: Path) -> None:
    free = VOCAB - len(make_tokenizer())
    with_tokens(*(f"<{number}>" for number in range(free))).save_pretrained(adapter)
    assert len(open_checkpoint(f"{tiny_llama}+{adapter}").tokenizer) == VOCAB
    larger = with_tokens(*(f"<{number}>" for number in range(free + 2)))
    larger.save_pretrained(adapter)
    words = f"the token '<{free}>' of id {VOCAB}, but the model's head has {VOCAB} rows"
    assert words in refused(tiny_llama, adapter)
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny_llama.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    larger.save_pretrained(base)  # whose own tokenizer has such tokens, too
    assert len(open_checkpoint(f"{base}+{adapter}").tokenizer) == VOCAB + 2


def test_what_cannot_be_read(tiny_llama: Path, adapter: Path) -> None:
    (adapter / "chat_template.jinja").write_bytes(b"\xff\xfe")
    assert "The chat template in" in refused(tiny_llama, adapter)
    (adapter / "chat_template.jinja").unlink()
    for text in ("[", "[]", '{"chat_template": [1]}', '{"chat_template": 1}'):
        (adapter / "tokenizer_config.json").write_text(text)
        assert "The chat template in" in refused(tiny_llama, adapter)
    with_tokens().save_pretrained(adapter)
    (adapter / "tokenizer_config.json").unlink()
    assert "holds tokenizer.json without tokenizer_config.json" in refused(tiny_llama, adapter)
    with_tokens().save_pretrained(adapter)
    (adapter / "tokenizer.json").write_text("{")
    assert f"{adapter} has no tokenizer that can be read" in refused(tiny_llama, adapter)
