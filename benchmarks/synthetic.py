"""Synthetic checkpoints in the shape of Llama 3.1 8B, as files that a user would map."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from benchmarks.shapes import LLAMA_8B, make_vectors


def write_checkpoint(folder: Path, layers: int) -> Path:
    """Write the head and some layers' up_proj in the shape of Llama 3.1 8B, in bf16, and a tokenizer for it."""
    folder.mkdir(parents=True)
    files = {"lm_head.weight": (LLAMA_8B.vocab, 1)}
    files |= {f"model.layers.{layer}.mlp.up_proj.weight": (LLAMA_8B.neurons, 2 + layer) for layer in range(layers)}
    file_of: dict[str, str] = {}
    for name, (count, seed) in files.items():
        file_of[name] = f"model-{len(file_of) + 1:05d}-of-{len(files):05d}.safetensors"
        weight = make_vectors(count, LLAMA_8B.width, seed, dtype=torch.bfloat16)
        save_file({name: weight}, folder / file_of[name], metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": file_of}))
    LlamaConfig(
        vocab_size=LLAMA_8B.vocab,
        hidden_size=LLAMA_8B.width,
        intermediate_size=LLAMA_8B.neurons,
        num_hidden_layers=layers,
        num_attention_heads=LLAMA_8B.heads,
        num_key_value_heads=LLAMA_8B.key_heads,
        tie_word_embeddings=False,
    ).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<unk>", *alphabet, *(f"Ġtoken{number}" for number in range(LLAMA_8B.vocab - len(alphabet) - 1))]
    tokenizer = Tokenizer(models.BPE({word: id_ for id_, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")  # type: ignore[no-untyped-call]
