"""Where each model family keeps its MLP, by module name.

A gated MLP computes `down(act(gate(x)) * up(x))`, an ungated one `down(act(up(x)))`. Nothing here reads a weight.
"""

from dataclasses import dataclass, replace

from neuronym.contract import View


@dataclass(frozen=True)
class Family:
    """Module paths of one family; `up`, `gate` and `down` are relative to a layer."""

    layers_path: str
    up: str
    gate: str | None
    down: str
    embedding: str
    norm: str  # the last one, before the head
    head: str
    transposed: bool = False  # GPT-2's Conv1D stores (in, out)
    behind: str | None = None  # the norm that all of the MLP's output passes, within a layer
    gain_less_one: bool = False  # a norm multiplies by 1 + its weight

    @property
    def gated(self) -> bool:
        """Whether the up projection is multiplied by an activated gate."""
        return self.gate is not None

    def projection(self, view: View) -> str | None:
        """The module that holds a view's weight vectors, relative to a layer; None for the gate of an ungated MLP."""
        return {View.up: self.up, View.gate: self.gate, View.down: self.down}[view]


_LLAMA = Family(
    "model.layers", "mlp.up_proj", "mlp.gate_proj", "mlp.down_proj", "model.embed_tokens", "model.norm", "lm_head"
)

_GEMMA = replace(_LLAMA, behind="post_feedforward_layernorm", gain_less_one=True)

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "gpt2": Family(
        "transformer.h",
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
        "mlp.dense_h_to_4h",
        None,
        "mlp.dense_4h_to_h",
        "gpt_neox.embed_in",
        "gpt_neox.final_layer_norm",
        "embed_out",
    ),
}


def mixture(name: str, kind: str) -> str:
    """Why a model of this kind is refused."""
    return f"{name} has mixture-of-experts MLPs ({kind}), which have no one neuron per index. Map a dense model."
