"""Synthetic weights and checkpoints of a large model, with the traits that make trained ones hard to screen.

Trained vectors have many lengths, share a mean, and a few of their channels are ten times as strong as the others.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, PreTrainedTokenizerFast

LAYERS, NEURONS, WIDTH, VOCAB = 32, 14_336, 4096, 128_256  # of Llama 3.1 8B
BLOCK = 4096  # vectors made at a time


def make_vectors(count: int, width: int, seed: int) -> Tensor:
    """Make random vectors, `(count, width)`, fp32."""
    return torch.cat(list(_blocks(count, width, seed)))


def _blocks(count: int, width: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    channels = torch.ones(width)
    channels[torch.randperm(width, generator=generator)[: max(1, width // 500)]] = 10
    mean = 0.3 * torch.randn(width, generator=generator)
    for start in range(0, count, BLOCK):
        block = torch.randn(min(BLOCK, count - start), width, generator=generator)
        block.add_(mean).mul_(channels)
        yield block.mul_(torch.randn(len(block), 1, generator=generator).mul_(0.3).exp_()).mul_(0.02)


def write_checkpoint(folder: Path, layers: int) -> Path:
    """Write the head and some layers' up_proj in the shape of Llama 3.1 8B, in bf16, and a tokenizer for it."""
    folder.mkdir(parents=True)
    files = {"lm_head.weight": (VOCAB, 1)}
    files |= {f"model.layers.{layer}.mlp.up_proj.weight": (NEURONS, 2 + layer) for layer in range(layers)}
    file_of: dict[str, str] = {}
    for name, (count, seed) in files.items():
        file_of[name] = f"model-{len(file_of) + 1:05d}-of-{len(files):05d}.safetensors"
        weight = torch.cat([block.bfloat16() for block in _blocks(count, WIDTH, seed)])
        save_file({name: weight}, folder / file_of[name], metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": file_of}))
    LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        intermediate_size=NEURONS,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        tie_word_embeddings=False,
    ).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<unk>", *alphabet, *(f"Ġtoken{number}" for number in range(VOCAB - len(alphabet) - 1))]
    tokenizer = Tokenizer(models.BPE({word: id_ for id_, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")  # type: ignore[no-untyped-call]
