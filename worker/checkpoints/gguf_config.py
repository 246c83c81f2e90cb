"""The configuration of a model from the settings in a GGUF file's header.

A setting that is not asked for here is not left out silently: the file is refused by its name, since the model would
be another one without it.
"""

import re
from collections.abc import Callable
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from worker.checkpoints.families import mixture
from worker.checkpoints.gguf_architectures import architecture_of
from worker.checkpoints.gguf_header import Header
from worker.checkpoints.gguf_settings import Settings
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


def read_configuration(header: Header) -> PreTrainedConfig:
    """The configuration that transformers would have of the model.

    Raises:
        CheckpointError: the architecture is unknown, a setting is missing, impossible or unknown, or the sizes are
            not those of the tensors.
    """
    architecture = architecture_of(header)
    settings = Settings(header)
    if settings.number("expert_count", 0):
        raise CheckpointError(mixture(header.file.name, settings.architecture))
    _check_layers(settings)
    values = _READ[settings.architecture](settings)
    values["vocab_size"] = _rows(header, "token_embd.weight")
    values |= {name: _token(header, key, values["vocab_size"]) for name, key in _TOKENS.items()}
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


def _sizes(settings: Settings, names: dict[str, str]) -> Values:
    return {name: settings.size(key) for name, key in names.items()}


def _decoder(settings: Settings) -> Values:
    """What Llama and its kin have in common."""
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


def _rope(settings: Settings, context: int) -> Values:
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


def _llama(settings: Settings) -> Values:
    biases = {"attention_bias": settings.has("attn_q.bias"), "mlp_bias": settings.has("ffn_up.bias")}
    return _decoder(settings) | biases


def _qwen3(settings: Settings) -> Values:
    return _decoder(settings) | {"attention_bias": settings.has("attn_q.bias")}


def _gemma2(settings: Settings) -> Values:
    values = _decoder(settings)
    return values | {
        "attn_logit_softcapping": settings.number("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": settings.number("final_logit_softcapping", 30.0),
        "sliding_window": settings.size("attention.sliding_window", 4096),
        "query_pre_attn_scalar": _scalar(values, 46),
    }


def _gemma3(settings: Settings) -> Values:
    values = _decoder(settings)
    window = int(settings.number("attention.sliding_window", 0))
    every = settings.size("attention.sliding_window_pattern", 6) if window else 1  # of these layers one sees all
    whole = [(layer + 1) % every == 0 for layer in range(values["num_hidden_layers"])]
    local = {"rope_type": "default", "rope_theta": settings.number("rope.freq_base_swa", 10000.0)}
    capped = settings.number("final_logit_softcapping", 0.0)
    return values | {
        "sliding_window": window or values["max_position_embeddings"],
        "layer_types": ["full_attention" if one else "sliding_attention" for one in whole],
        "rope_parameters": {"full_attention": values["rope_parameters"], "sliding_attention": local},
        "final_logit_softcapping": capped or None,
        "query_pre_attn_scalar": _scalar(values, 62),
    }


def _scalar(values: Values, layers_of_27b: int) -> int:
    """What scores are divided by the root of: not in the file; like llama.cpp, the 27B is told by its layers."""
    if values["num_hidden_layers"] == layers_of_27b:
        return int(values["hidden_size"]) // int(values["num_attention_heads"])
    return int(values["head_dim"])


def _gpt2(settings: Settings) -> Values:
    return _sizes(settings, _GPT2) | {"layer_norm_epsilon": settings.number("attention.layer_norm_epsilon")}


def _gptneox(settings: Settings) -> Values:
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


_READ: dict[str, Callable[[Settings], Values]] = {
    "llama": _llama,
    "qwen2": _decoder,
    "qwen3": _qwen3,
    "gemma": _decoder,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
    "gpt2": _gpt2,
    "gptneox": _gptneox,
}


def _rows(header: Header, name: str) -> int:
    """Rows of a tensor that every model has."""
    if name not in header.tensors:
        raise CheckpointError(f"{header.file.name} has no tensor {name!r}. Is the file complete?")
    return header.tensors[name].rows


def _token(header: Header, name: str, rows: int) -> int | None:
    """The id of a special token, or None if there is none."""
    said = header.settings.get(f"tokenizer.ggml.{name}")
    if said is not None and (not isinstance(said, int) or not 0 <= said < rows):
        raise CheckpointError(
            f"{header.file.name} says that its {name} is {said!r}, which cannot be. Download it again."
        )
    return said


def _check_layers(settings: Settings) -> None:
    """Refuse a number of layers that is not that of the tensors; nothing is made by it before."""
    said = settings.size("block_count")
    found = {int(match[1]) for name in settings.header.tensors if (match := re.match(r"blk\.(\d+)\.", name))}
    if found != set(range(said)):
        raise CheckpointError(
            f"{settings.header.file.name} says that it has {said} layers, but holds the tensors of {len(found)}. "
            "Download it again."
        )
