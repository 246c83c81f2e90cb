"""Tiny random checkpoints of every family, with a real byte-level tokenizer, saved as transformers saves them."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

LAYERS, NEURONS, WIDTH, VOCAB = 4, 48, 32, 320
TEXT = [
    "California is a state. The dog and the cat live in California.",
    "Dogs chase cats; the king of California likes dogs, kings and puppies.",
    "My favourite animal is the dog. I live in a place called California.",
] * 4
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": WIDTH,
    "intermediate_size": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "head_dim": 8,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
_GPT_SHAPE: dict[str, Any] = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 2}


def configurations() -> dict[str, PreTrainedConfig]:
    """One tiny configuration a family; heads tied and untied both occur."""
    return {
        "llama": LlamaConfig(**_SHAPE, tie_word_embeddings=True),
        "llama-untied": LlamaConfig(**_SHAPE, tie_word_embeddings=False),
        "mistral": MistralConfig(**_SHAPE, tie_word_embeddings=False),
        "qwen2": Qwen2Config(**_SHAPE, tie_word_embeddings=True),
        "qwen3": Qwen3Config(**_SHAPE, tie_word_embeddings=True),
        "gemma": GemmaConfig(**_SHAPE),
        "gemma2": Gemma2Config(**_SHAPE),
        "gemma3": Gemma3TextConfig(**_SHAPE),
        "gpt2": GPT2Config(**_GPT_SHAPE, n_embd=WIDTH, n_layer=LAYERS, n_head=4, n_inner=NEURONS, n_positions=256),
        "gpt_neox": GPTNeoXConfig(
            **_GPT_SHAPE,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=4,
            intermediate_size=NEURONS,
            max_position_embeddings=256,
        ),
    }


def make_tokenizer(chat: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE with single-byte tokens, merged words and special tokens; smaller than the head on purpose."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB - 8,
        special_tokens=["<s>", "<unk>", "<|im_end|>", "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>", eos_token="<|im_end|>"
    )
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    return fast


def make_checkpoint(folder: Path, family: str = "llama", seed: int = 0, chat: bool = True) -> Path:
    """Save a random fp32 checkpoint of `family` with its tokenizer; the same seed gives the same weights."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(configurations()[family], dtype=torch.float32)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    make_tokenizer(chat).save_pretrained(folder)
    return folder
