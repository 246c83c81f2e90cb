"""The GGUF form of each model family: names of tensors, and how its converter changed their values.

The converter is llama.cpp's `convert_hf_to_gguf.py`; each rule here undoes one of its changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from transformers import PreTrainedConfig

from worker.checkpoints.gguf_header import GGUFHeader
from worker.errors import CheckpointError

TensorRule = Callable[[torch.Tensor, PreTrainedConfig], torch.Tensor]

ROPE_FACTORS = "rope_freqs.weight"  # factors by which rotary wavelengths are multiplied


@dataclass(frozen=True)
class GGUFArchitecture:
    """One value of `general.architecture`; names map transformers' to GGUF's, without `.weight` and `.bias`."""

    model_type: str
    layers_path: str
    names: Mapping[str, str]
    layer_names: Mapping[str, str]  # of modules within a layer
    rules: Mapping[str, TensorRule] = field(default_factory=dict)  # by GGUF's name without the layer
    factors: bool = False  # a file may hold ROPE_FACTORS

    def name(self, parameter: str) -> str:
        """GGUF's name of a parameter of transformers' model; a name without one is returned unchanged."""
        module, _, suffix = parameter.rpartition(".")
        layer, _, part = module.removeprefix(f"{self.layers_path}.").partition(".")
        if module.startswith(f"{self.layers_path}.") and part in self.layer_names:
            return f"blk.{layer}.{self.layer_names[part]}.{suffix}"
        return f"{self.names.get(module, module)}.{suffix}"

    def restore(self, name: str, tensor: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
        """Convert the values of the tensor that GGUF calls `name` to those of transformers."""
        rule = self.rules.get(name.rpartition(".")[0].rpartition(".")[2])
        return rule(tensor, config) if rule else tensor


def _pair_halves(tensor: torch.Tensor, config: PreTrainedConfig, heads: str) -> torch.Tensor:
    """Reorder the rows of each head: rotary pairs are neighbours in GGUF's Llama, one in each half in transformers'."""
    count = int(getattr(config, heads))
    pairs = tensor.reshape(count, -1, 2, *tensor.shape[1:])  # (heads, head / 2, 2, ...)
    return pairs.transpose(1, 2).reshape(tensor.shape)  # (rows, ...)


def _subtract_one(tensor: torch.Tensor, _: PreTrainedConfig) -> torch.Tensor:
    """Take 1 from a norm's weight: Gemma adds it when the norm is used, GGUF stores the sum."""
    return tensor - 1


def _transpose(tensor: torch.Tensor, _: PreTrainedConfig) -> torch.Tensor:
    """Transpose GGUF's (out, in) to GPT-2's (in, out)."""
    return tensor.T


def _group_by_head(tensor: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """Reorder GGUF's all queries, all keys, all values to query, key and value of one head after another."""
    heads = int(config.num_attention_heads)
    parts = tensor.reshape(3, heads, -1, *tensor.shape[1:])  # (3, heads, head, ...)
    return parts.transpose(0, 1).reshape(tensor.shape)  # (rows, ...)


def _only_matrices(rule: TensorRule) -> TensorRule:
    """Apply the rule to matrices and leave vectors (biases) as they are."""
    return lambda tensor, config: rule(tensor, config) if tensor.ndim > 1 else tensor


_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYER_WITH_NORMS_AFTER = _LAYER | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_NORMS = ("output_norm", "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm", "attn_q_norm", "attn_k_norm")
_GEMMA_RULES = dict.fromkeys(_NORMS, _subtract_one)
_LLAMA_RULES: dict[str, TensorRule] = {
    "attn_q": partial(_pair_halves, heads="num_attention_heads"),
    "attn_k": partial(_pair_halves, heads="num_key_value_heads"),
}

ARCHITECTURES: dict[str, GGUFArchitecture] = {
    "llama": GGUFArchitecture("llama", "model.layers", _NAMES, _LAYER, _LLAMA_RULES, factors=True),  # Mistral's too
    "qwen2": GGUFArchitecture("qwen2", "model.layers", _NAMES, _LAYER),
    "qwen3": GGUFArchitecture("qwen3", "model.layers", _NAMES, _LAYER),
    "gemma": GGUFArchitecture("gemma", "model.layers", _NAMES, _LAYER, _GEMMA_RULES),
    "gemma2": GGUFArchitecture("gemma2", "model.layers", _NAMES, _LAYER_WITH_NORMS_AFTER, _GEMMA_RULES),
    "gemma3": GGUFArchitecture("gemma3_text", "model.layers", _NAMES, _LAYER_WITH_NORMS_AFTER, _GEMMA_RULES),
    "gpt2": GGUFArchitecture(
        "gpt2",
        "transformer.h",
        {
            "transformer.wte": "token_embd",
            "transformer.wpe": "position_embd",
            "transformer.ln_f": "output_norm",
            "lm_head": "output",
        },
        {
            "ln_1": "attn_norm",
            "attn.c_attn": "attn_qkv",
            "attn.c_proj": "attn_output",
            "ln_2": "ffn_norm",
            "mlp.c_fc": "ffn_up",
            "mlp.c_proj": "ffn_down",
        },
        dict.fromkeys(("attn_qkv", "attn_output", "ffn_up", "ffn_down"), _only_matrices(_transpose)),
    ),
    "gptneox": GGUFArchitecture(
        "gpt_neox",
        "gpt_neox.layers",
        {
            "gpt_neox.embed_in": "token_embd",
            "gpt_neox.final_layer_norm": "output_norm",
            "embed_out": "output",  # its name in files
            "lm_head": "output",  # its name in a loaded model
        },
        {
            "input_layernorm": "attn_norm",
            "attention.query_key_value": "attn_qkv",
            "attention.dense": "attn_output",
            "post_attention_layernorm": "ffn_norm",
            "mlp.dense_h_to_4h": "ffn_up",
            "mlp.dense_4h_to_h": "ffn_down",
        },
        {"attn_qkv": _group_by_head},
    ),
}


def architecture_of(header: GGUFHeader) -> GGUFArchitecture:
    """The GGUF form of the file's model family.

    Raises:
        CheckpointError: the architecture is not known.
    """
    name = header.settings.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise CheckpointError(f"{header.file.name} is of the unknown GGUF architecture {name!r}. Known: {known}.")
    return ARCHITECTURES[name]
