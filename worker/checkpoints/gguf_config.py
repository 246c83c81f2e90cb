"""The configuration of a model from the settings in a GGUF file's header.

A file with a setting that is not read here is refused by the setting's name: without it the model would be another one.
"""

import re
from collections.abc import Callable
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from worker.checkpoints.families import mixture_refusal
from worker.checkpoints.gguf_architectures import architecture_of
from worker.checkpoints.gguf_header import GGUFHeader
from worker.checkpoints.gguf_settings import GGUFSettings
from worker.errors import CheckpointError

Values = dict[str, Any]

_DECODER = {
    "max_position_embeddings": "context_length",
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
}
_GPT2 = {
    "n_positions": "context_length",
    "n_layer": "block_count",
    "n_embd": "embedding_length",
    "n_inner": "feed_forward_length",
    "n_head": "attention.head_count",
}
_BETAS = {"beta_fast": 32.0, "beta_slow": 1.0}
_TOKENS = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "pad_token_id": "padding_token_id",
    "unk_token_id": "unknown_token_id",
}


def read_configuration(header: GGUFHeader) -> PreTrainedConfig:
    """The configuration that transformers would have for the model.

    Raises:
        CheckpointError: the architecture is unknown, a setting is missing, impossible or unknown, or the sizes
            differ from those of the tensors.
    """
    architecture = architecture_of(header)
    settings = GGUFSettings(header)
    if settings.number("expert_count", 0):
        raise CheckpointError(mixture_refusal(header.file.name, settings.architecture))
    _check_layers(settings)
    values = _READERS[settings.architecture](settings)
    values["vocab_size"] = _tensor_rows(header, "token_embd.weight")
    values |= {name: _token_id(header, key, values["vocab_size"]) for name, key in _TOKENS.items()}
    values["tie_word_embeddings"] = "output.weight" not in header.tensors
    unknown = settings.unknown()
    if unknown:
        raise CheckpointError(
            f"{header.file.name} has the setting {unknown[0]!r}, which is not known here, so the model might be read "
            "wrongly. Give the folder or hub id that the file was made from."
        )
    try:
        config: PreTrainedConfig = AutoConfig.for_model(architecture.model_type, **values)
    except (ValueError, TypeError, KeyError, ArithmeticError, StrictDataclassError) as error:
        why = " ".join(str(error).split())
        raise CheckpointError(f"{header.file.name} describes no possible model ({why}). Download it again.") from error
    return config


def _sizes(settings: GGUFSettings, names: dict[str, str]) -> Values:
    return {name: settings.size(key) for name, key in names.items()}


def _decoder(settings: GGUFSettings) -> Values:
    """The values that Llama, Qwen and Gemma have in common."""
    values = _sizes(settings, _DECODER)
    heads = values["num_attention_heads"]
    head = settings.size("attention.key_length", settings.size("rope.dimension_count", values["hidden_size"] // heads))
    settings.only("attention.value_length", head)
    settings.only("rope.dimension_count", head)
    return values | {
        "num_key_value_heads": settings.size("attention.head_count_kv", heads),
        "head_dim": head,
        "rms_norm_eps": settings.number("attention.layer_norm_rms_epsilon"),
        "rope_parameters": _rope(settings, values["max_position_embeddings"]),
    }


def _rope(settings: GGUFSettings, context: int) -> Values:
    theta = settings.number("rope.freq_base", 10000.0)
    factor = settings.number("rope.scaling.factor", settings.number("rope.scale_linear", 1.0)) or 1.0
    original = settings.size("rope.scaling.original_context_length", context)
    kind = settings.get("rope.scaling.type") or "linear"  # llama.cpp's default
    if kind == "none" or (kind == "linear" and factor == 1):
        return {"rope_type": "default", "rope_theta": theta}
    if kind == "linear":
        return {"rope_type": "linear", "rope_theta": theta, "factor": factor}
    settings.only("rope.scaling.type", "yarn")
    betas = {name: settings.number(f"rope.scaling.yarn_{name}", default) for name, default in _BETAS.items()}
    yarn = {"rope_type": "yarn", "rope_theta": theta, "factor": factor}
    return yarn | betas | {"original_max_position_embeddings": original}


def _llama(settings: GGUFSettings) -> Values:
    biases = {"attention_bias": settings.has("attn_q.bias"), "mlp_bias": settings.has("ffn_up.bias")}
    return _decoder(settings) | biases


def _qwen3(settings: GGUFSettings) -> Values:
    return _decoder(settings) | {"attention_bias": settings.has("attn_q.bias")}


def _gemma2(settings: GGUFSettings) -> Values:
    values = _decoder(settings)
    return values | {
        "attn_logit_softcapping": settings.number("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": settings.number("final_logit_softcapping", 30.0),
        "sliding_window": settings.size("attention.sliding_window", 4096),
        "query_pre_attn_scalar": _query_scale(values, 46),
    }


def _gemma3(settings: GGUFSettings) -> Values:
    values = _decoder(settings)
    window = int(settings.number("attention.sliding_window", 0))
    every = settings.size("attention.sliding_window_pattern", 6) if window else 1  # one layer in so many sees all
    full = [(layer + 1) % every == 0 for layer in range(values["num_hidden_layers"])]
    local = {"rope_type": "default", "rope_theta": settings.number("rope.freq_base_swa", 10000.0)}
    capped = settings.number("final_logit_softcapping", 0.0)
    return values | {
        "sliding_window": window or values["max_position_embeddings"],
        "layer_types": ["full_attention" if is_full else "sliding_attention" for is_full in full],
        "rope_parameters": {"full_attention": values["rope_parameters"], "sliding_attention": local},
        "final_logit_softcapping": capped or None,
        "query_pre_attn_scalar": _query_scale(values, 62),
    }


def _query_scale(values: Values, layers_of_27b: int) -> int:
    """The number whose root divides attention scores. Files lack it; as in llama.cpp, layers tell the 27B model."""
    if values["num_hidden_layers"] == layers_of_27b:
        return int(values["hidden_size"]) // int(values["num_attention_heads"])
    return int(values["head_dim"])


def _gpt2(settings: GGUFSettings) -> Values:
    return _sizes(settings, _GPT2) | {"layer_norm_epsilon": settings.number("attention.layer_norm_epsilon")}


def _gptneox(settings: GGUFSettings) -> Values:
    values = _sizes(settings, _DECODER)
    head, left = divmod(values["hidden_size"], values["num_attention_heads"])
    if left:
        raise CheckpointError(
            f"{settings.header.file.name} says that a width of {values['hidden_size']} is shared by "
            f"{values['num_attention_heads']} heads, which cannot be. Download it again."
        )
    turned = settings.size("rope.dimension_count", head) / head
    return values | {
        "layer_norm_eps": settings.number("attention.layer_norm_epsilon"),
        "use_parallel_residual": bool(settings.number("use_parallel_residual", 1)),
        "rope_parameters": _rope(settings, values["max_position_embeddings"]) | {"partial_rotary_factor": turned},
    }


_READERS: dict[str, Callable[[GGUFSettings], Values]] = {
    "llama": _llama,
    "qwen2": _decoder,
    "qwen3": _qwen3,
    "gemma": _decoder,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "gpt2": _gpt2,
    "gptneox": _gptneox,
}


def _tensor_rows(header: GGUFHeader, name: str) -> int:
    """The number of rows of a tensor that every model has."""
    if name not in header.tensors:
        raise CheckpointError(f"{header.file.name} has no tensor {name!r}. Is the file complete?")
    return header.tensors[name].rows


def _token_id(header: GGUFHeader, name: str, rows: int) -> int | None:
    """The id of a special token, or None if the file names none."""
    token_id = header.settings.get(f"tokenizer.ggml.{name}")
    if token_id is not None and (not isinstance(token_id, int) or not 0 <= token_id < rows):
        raise CheckpointError(
            f"{header.file.name} says that its {name} is {token_id!r}, which cannot be. Download it again."
        )
    return token_id


def _check_layers(settings: GGUFSettings) -> None:
    """Refuse a number of layers that differs from that of the tensors, before anything is sized by it."""
    claimed = settings.size("block_count")
    layers = {int(match[1]) for name in settings.header.tensors if (match := re.match(r"blk\.(\d+)\.", name))}
    if layers != set(range(claimed)):
        raise CheckpointError(
            f"{settings.header.file.name} says that it has {claimed} layers, but holds the tensors of {len(layers)}. "
            "Download it again."
        )
