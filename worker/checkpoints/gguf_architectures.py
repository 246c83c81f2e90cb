"""How GGUF spells each model family: names of tensors, and what its converter did to their values.

The converter is llama.cpp's `convert_hf_to_gguf.py`: each rule here takes back one thing that it does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from transformers import PreTrainedConfig

from worker.checkpoints.gguf_header import Header
from worker.errors import CheckpointError

Rule = Callable[[torch.Tensor, PreTrainedConfig], torch.Tensor]

ROPE_FACTORS = "rope_freqs.weight"  # what each rotary wavelength is multiplied by


@dataclass(frozen=True)
class Architecture:
    """One `general.architecture`: names without `.weight` and `.bias`, transformers' to GGUF's."""

    model_type: str
    layers_path: str
    names: Mapping[str, str]
    layer_names: Mapping[str, str]  # within a layer
    rules: Mapping[str, Rule] = field(default_factory=dict)  # by GGUF's name without the layer
    factors: bool = False  # ROPE_FACTORS may be there

    def name(self, parameter: str) -> str:
        """What GGUF calls a parameter of transformers' model; what it does not know stays as it is."""
        module, _, suffix = parameter.rpartition(".")
        layer, _, rest = module.removeprefix(f"{self.layers_path}.").partition(".")
        if module.startswith(f"{self.layers_path}.") and rest in self.layer_names:
            return f"blk.{layer}.{self.layer_names[rest]}.{suffix}"
        return f"{self.names.get(module, module)}.{suffix}"

    def restored(self, name: str, tensor: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
        """Values as transformers has them, from those under GGUF's name."""
        rule = self.rules.get(name.rpartition(".")[0].rpartition(".")[2])
        return rule(tensor, config) if rule else tensor


def _halves(tensor: torch.Tensor, config: PreTrainedConfig, heads: str) -> torch.Tensor:
    """Rows of each head in halves: GGUF's Llama turns neighbouring rows, transformers' the two halves."""
    count = int(getattr(config, heads))
    pairs = tensor.reshape(count, -1, 2, *tensor.shape[1:])  # (heads, head / 2, 2, ...)
    return pairs.transpose(1, 2).reshape(tensor.shape)  # (rows, ...)


def _less_one(tensor: torch.Tensor, _: PreTrainedConfig) -> torch.Tensor:
    """A norm's weight as Gemma stores it; GGUF has it with the one that is added when it is used."""
    return tensor - 1


def _columns(tensor: torch.Tensor, _: PreTrainedConfig) -> torch.Tensor:
    """GPT-2's weights are stored (in, out); GGUF has (out, in). Biases stay."""
    return tensor.T


def _by_heads(tensor: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """Query, key and value of one head after another; GGUF has all queries, all keys, all values."""
    heads = int(config.num_attention_heads)
    parts = tensor.reshape(3, heads, -1, *tensor.shape[1:])  # (3, heads, head, ...)
    return parts.transpose(0, 1).reshape(tensor.shape)  # (rows, ...)


def _weights(rule: Rule) -> Rule:
    """The rule for matrices only."""
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
_SANDWICHED = _LAYER | {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_NORMS = ("output_norm", "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm", "attn_q_norm", "attn_k_norm")
_GEMMA_RULES = dict.fromkeys(_NORMS, _less_one)
_LLAMA_RULES: dict[str, Rule] = {
    "attn_q": partial(_halves, heads="num_attention_heads"),
    "attn_k": partial(_halves, heads="num_key_value_heads"),
}

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("llama", "model.layers", _NAMES, _LAYER, _LLAMA_RULES, factors=True),  # Mistral's too
    "qwen2": Architecture("qwen2", "model.layers", _NAMES, _LAYER),
    "qwen3": Architecture("qwen3", "model.layers", _NAMES, _LAYER),
    "gemma": Architecture("gemma", "model.layers", _NAMES, _LAYER, _GEMMA_RULES),
    "gemma2": Architecture("gemma2", "model.layers", _NAMES, _SANDWICHED, _GEMMA_RULES),
    "gemma3": Architecture("gemma3_text", "model.layers", _NAMES, _SANDWICHED, _GEMMA_RULES),
    "gpt2": Architecture(
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
        dict.fromkeys(("attn_qkv", "attn_output", "ffn_up", "ffn_down"), _weights(_columns)),
    ),
    "gptneox": Architecture(
        "gpt_neox",
        "gpt_neox.layers",
        {
            "gpt_neox.embed_in": "token_embd",
            "gpt_neox.final_layer_norm": "output_norm",
            "embed_out": "output",  # as it is saved
            "lm_head": "output",  # as it is once it is loaded
        },
        {
            "input_layernorm": "attn_norm",
            "attention.query_key_value": "attn_qkv",
            "attention.dense": "attn_output",
            "post_attention_layernorm": "ffn_norm",
            "mlp.dense_h_to_4h": "ffn_up",
            "mlp.dense_4h_to_h": "ffn_down",
        },
        {"attn_qkv": _by_heads},
    ),
}


def architecture_of(header: Header) -> Architecture:
    """The family's spelling.

    Raises:
        CheckpointError: it is not known here.
    """
    name = header.settings.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise CheckpointError(f"{header.file.name} is of the unknown GGUF architecture {name!r}. Known: {known}.")
    return ARCHITECTURES[name]
