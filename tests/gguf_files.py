"""Tiny GGUF files, written from transformers' models as llama.cpp's `convert_hf_to_gguf.py` writes them."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from tests.checkpoints import CHAT_TEMPLATE, configurations, make_tokenizer

NORMAL, CONTROL, UNUSED, BYTE = 1, 3, 5, 6
NAMES = {"mistral": "llama", "gemma3_text": "gemma3", "gpt_neox": "gptneox"}  # transformers' name to GGUF's
CHANGES: dict[str, dict[str, Any]] = {
    # What transformers' own reader of GGUF files takes for granted, so that it can be compared with.
    "qwen3": {"head_dim": 128},
    "gemma2": {"head_dim": 256, "sliding_window": 6},
    "gemma3": {"head_dim": 256, "sliding_window": 6},
    "gpt2": {"n_positions": 1024, "n_inner": 128},
}


@dataclass(frozen=True)
class Spelled:
    """A tokenizer as GGUF spells it."""

    model: str
    tokens: list[str]
    types: list[int]
    merges: list[str] | None = None
    scores: list[float] | None = None


def make_model(family: str = "llama", **changes: Any) -> PreTrainedModel:
    """A random model in which no norm is one and no bias nought."""
    config = configurations()[family]
    for name, value in (CHANGES.get(family, {}) | changes).items():
        setattr(config, name, value)
    return model_of(config)


def model_of(config: PreTrainedConfig) -> PreTrainedModel:
    """The same of any configuration."""
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
        elif "wpe" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.requires_grad_(False).train(False)
    return model


def byte_level() -> Spelled:
    """The tests' own tokenizer."""
    tokenizer = make_tokenizer()
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = {token.content for token in tokenizer.added_tokens_decoder.values()}
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    types = [CONTROL if token in special else NORMAL for token, _ in ordered]
    return Spelled("gpt2", [token for token, _ in ordered], types, [" ".join(pair) for pair in merges])


def sentence_piece(first: tuple[str, ...] = ("<unk>", "<s>", "</s>")) -> Spelled:
    """A small SentencePiece vocabulary with byte fallback."""
    special = [*first, "<mask>"]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += ["▁", *"abcdefghi", "▁a", "ab", "▁ab", "cd", "▁abcd", "  "]
    types = [CONTROL] * len(special) + [BYTE] * 256 + [NORMAL] * (len(tokens) - len(special) - 256)
    return Spelled("llama", tokens, types, scores=[-float(place) for place in range(len(tokens))])


def write_gguf(file: Path, model: PreTrainedModel, spelled: Spelled | None = None, **settings: Any) -> Path:
    """Write a model as a GGUF file; `settings` are added under the architecture's name, with `__` for a dot."""
    _write(gguf.GGUFWriter(file, _architecture_of(model)), model, spelled, settings)
    return file


def write_parts(file: Path, model: PreTrainedModel, tensors: int, bare_first: bool = False) -> list[Path]:
    """Write a model as GGUF files of this many tensors each, the first without any if it is `bare_first`."""
    writer = gguf.GGUFWriter(file, _architecture_of(model), split_max_tensors=tensors, small_first_shard=bare_first)
    _write(writer, model, None, {})
    return sorted(file.parent.glob(f"{file.stem}-*-of-*.gguf"))


def _architecture_of(model: PreTrainedModel) -> str:
    return NAMES.get(model.config.model_type, model.config.model_type)


def _write(writer: gguf.GGUFWriter, model: PreTrainedModel, spelled: Spelled | None, settings: dict[str, Any]) -> None:
    config = model.config
    _write_settings(writer, config, settings)
    _write_tokenizer(writer, spelled or byte_level(), config.vocab_size)
    architecture = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == writer.arch)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for parameter, value in model.named_parameters():
        module, _, suffix = parameter.rpartition(".")
        array = _converted(parameter, value, config).numpy()
        writer.add_tensor(f"{names.get_name(module)}.{suffix}", np.ascontiguousarray(array))
    if config.model_type == "llama" and config.rope_parameters["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", _factors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_settings(writer: gguf.GGUFWriter, config: PreTrainedConfig, settings: dict[str, Any]) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    inner = config.n_inner if config.model_type == "gpt2" else config.intermediate_size
    writer.add_feed_forward_length(inner)
    if "attention__head_count" not in settings:
        writer.add_head_count(config.num_attention_heads)
    if config.model_type == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    elif config.model_type == "gpt_neox":
        head = config.hidden_size // config.num_attention_heads
        writer.add_rope_dimension_count(int(config.rope_parameters["partial_rotary_factor"] * head))
        writer.add_parallel_residual(config.use_parallel_residual)
        writer.add_layer_norm_eps(config.layer_norm_eps)
    else:
        _write_decoder(writer, config)
    for name, value in settings.items():
        key = f"{writer.arch}.{name.replace('__', '.')}"
        types = {str: gguf.GGUFValueType.STRING, float: gguf.GGUFValueType.FLOAT32, int: gguf.GGUFValueType.UINT32}
        writer.add_key_value(key, value, types[type(value)])


def _write_decoder(writer: gguf.GGUFWriter, config: PreTrainedConfig) -> None:
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    rope = config.rope_parameters
    if config.model_type not in ("gemma", "gemma2"):
        writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if config.model_type in ("llama", "mistral"):
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(config.head_dim)
    elif config.model_type != "qwen2":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if config.model_type in ("gemma2", "gemma3_text"):
        writer.add_sliding_window(config.sliding_window)
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def _write_tokenizer(writer: gguf.GGUFWriter, spelled: Spelled, rows: int) -> None:
    writer.add_tokenizer_model(spelled.model)
    writer.add_tokenizer_pre("default")
    padding = [f"[PAD{number}]" for number in range(len(spelled.tokens), rows)]
    writer.add_token_list(spelled.tokens + padding)
    writer.add_token_types(spelled.types + [UNUSED] * len(padding))
    if spelled.merges is not None:
        writer.add_token_merges(spelled.merges)
    if spelled.scores is not None:
        writer.add_token_scores(spelled.scores + [-1000.0] * len(padding))
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)


def _converted(name: str, value: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """A parameter as the converter stores it."""
    if config.model_type in ("llama", "mistral"):
        if "q_proj" in name:
            return _permuted(value, config.num_attention_heads)
        if "k_proj" in name:
            return _permuted(value, config.num_key_value_heads)
    if "gemma" in config.model_type and name.endswith("norm.weight"):
        return value + 1
    if config.model_type == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        return value.transpose(1, 0)
    if config.model_type == "gpt_neox" and "query_key_value" in name:
        heads = config.num_attention_heads
        split = value.reshape(heads, 3, config.hidden_size // heads, *value.shape[1:])
        return torch.cat([split[:, part].reshape(-1, *value.shape[1:]) for part in range(3)])
    return value


def _permuted(weights: torch.Tensor, heads: int) -> torch.Tensor:
    split = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return split.swapaxes(1, 2).reshape(weights.shape)


def _factors(config: PreTrainedConfig) -> np.ndarray[Any, Any]:
    """What Llama 3 lengthens the wavelengths by."""
    rope = config.rope_parameters
    low, high, old = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for place in range(0, config.head_dim, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (place / config.head_dim)
        if wavelength < old / high:
            factors.append(1.0)
        elif wavelength > old / low:
            factors.append(rope["factor"])
        else:
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)
