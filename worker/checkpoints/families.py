"""The module names of MLP, embedding, norm and head in each model family.

A gated MLP computes `down(act(gate(x)) * up(x))`, an ungated one `down(act(up(x)))`. Reads no weights.
"""

from dataclasses import dataclass, replace

from neuronym.contract import View


@dataclass(frozen=True)
class Family:
    """The module paths of one family; those from `norm_before` to `down` and `norm_after` are relative to a layer."""

    layers_path: str
    norm_before: str  # the norm through which the MLP reads the stream
    up: str
    gate: str | None
    down: str
    embedding: str
    norm: str  # the last norm, before the head
    head: str
    transposed: bool = False  # GPT-2's Conv1D stores (in, out)
    norm_after: str | None = None  # the norm that all of the MLP's output passes
    gain_less_one: bool = False  # norms store their gain less one: they multiply by 1 + weight

    @property
    def gated(self) -> bool:
        """Whether the up projection is multiplied by an activated gate."""
        return self.gate is not None

    def projection(self, view: View) -> str | None:
        """The module that holds a view's weight vectors, relative to a layer; None for the gate of an ungated MLP."""
        return {View.up: self.up, View.gate: self.gate, View.down: self.down}[view]


_LLAMA = Family(
    "model.layers",
    "post_attention_layernorm",
    "mlp.up_proj",
    "mlp.gate_proj",
    "mlp.down_proj",
    "model.embed_tokens",
    "model.norm",
    "lm_head",
)

_GEMMA = replace(_LLAMA, gain_less_one=True)
_GEMMA2 = replace(_GEMMA, norm_before="pre_feedforward_layernorm", norm_after="post_feedforward_layernorm")

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _GEMMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2,
    "gpt2": Family(
        "transformer.h",
        "ln_2",
        "mlp.c_fc",
        None,
        "mlp.c_proj",
        "transformer.wte",
        "transformer.ln_f",
        "lm_head",
        transposed=True,
    ),
    "gpt_neox": Family(
        "gpt_neox.layers",
        "post_attention_layernorm",
        "mlp.dense_h_to_4h",
        None,
        "mlp.dense_4h_to_h",
        "gpt_neox.embed_in",
        "gpt_neox.final_layer_norm",
        "embed_out",
    ),
}


def mixture_refusal(name: str, kind: str) -> str:
    """The sentence that refuses a mixture-of-experts model; `kind` is its model type."""
    return f"{name} has mixture-of-experts MLPs ({kind}), which have no one neuron per index. Map a dense model."
