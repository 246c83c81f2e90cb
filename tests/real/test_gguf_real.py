"""The demo's GGUF file is read as transformers reads it."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.vocabulary import read_vocabulary

pytestmark = pytest.mark.real

PROMPTS = [
    "The capital of France is",
    "<|im_start|>user\nWhat is a dog?<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Größer als 12345?  Ja 🐈",
]


@pytest.fixture(scope="module")
def theirs(demo_checkpoint: Checkpoint) -> dict[str, Any]:
    """Where transformers finds the file."""
    source = demo_checkpoint.source
    return {"pretrained_model_name_or_path": source.folder, "gguf_file": source.gguf}


def test_the_tokenizer(demo_checkpoint: Checkpoint, theirs: dict[str, Any]) -> None:
    ours, other = demo_checkpoint.tokenizer, AutoTokenizer.from_pretrained(**theirs)
    assert isinstance(other, PreTrainedTokenizerFast)
    assert read_vocabulary(ours) == read_vocabulary(other)
    for text in PROMPTS:
        assert ours.encode(text) == other.encode(text)
        chat = [{"role": "user", "content": text}]
        said = [one.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for one in (ours, other)]
        assert said[0] == said[1]
    assert ours.special_tokens_map == other.special_tokens_map


def test_the_live_model(demo_checkpoint: Checkpoint, theirs: dict[str, Any]) -> None:
    ours, tokenizer = demo_checkpoint.load(torch.device("cpu"), torch.float32)
    other: PreTrainedModel = AutoModelForCausalLM.from_pretrained(**theirs, dtype=torch.float32)
    for (name, one), (same, two) in zip(ours.named_parameters(), other.named_parameters(), strict=True):
        assert name == same
        assert torch.equal(one, two), name
    for text in PROMPTS:
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            torch.testing.assert_close(ours(ids).logits, other(ids).logits, atol=1e-4, rtol=1e-4)
    aside = {"_name_or_path", "_model_name_or_path", "quantization_config"}
    expected, found = other.config.to_dict(), ours.config.to_dict()
    assert {key: found.get(key) for key in expected if key not in aside} == {
        key: value for key, value in expected.items() if key not in aside
    }
