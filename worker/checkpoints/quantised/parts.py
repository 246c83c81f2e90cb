"""Which stored tensors make up a quantised weight, told by their names. Reads no values."""

import re
from collections.abc import Iterable
from typing import TypeAlias

# Parameter -> name of a part within its module -> name of the stored tensor.
ParameterParts: TypeAlias = dict[str, dict[str, str]]

# Parts that stand beside a weight, or in its place: of FP8, compressed-tensors and bitsandbytes, which are read, and of
# GPTQ, AWQ, modelopt and MXFP4, which are only recognised.
_PART = re.compile(
    r"(?P<module>.+?)[._](?P<part>"
    r"weight_scale_inv|weight_scale|weight_scale_2|weight_zero_point|weight_packed|weight_shape|weight_g_idx"
    r"|weight_global_scale|SCB|weight_format|qweight|qzeros|scales|g_idx|blocks"
    r"|weight\.(?:nested_)?(?:absmax|quant_map)|weight\.quant_state\..+)"
)
# Scales of what goes through a module, not of its weights: they matter only to kernels that quantise that, too.
_OF_ACTIVATIONS = re.compile(r".+[._](input|output|activation|[qkv])_(scale|scale_ub|zero_point|global_scale)")


def parts_of_parameters(names: Iterable[str]) -> ParameterParts:
    """The stored tensors of each quantised weight among the tensors of these names."""
    stored = set(names)
    found: ParameterParts = {}
    for name in sorted(stored):
        match = None if is_of_activations(name) else _PART.fullmatch(name)
        if match:
            found.setdefault(f"{match['module']}.weight", {})[match["part"]] = name
    for parameter, parts in found.items():
        if parameter in stored:
            parts["weight"] = parameter
    return found


def is_of_activations(name: str) -> bool:
    """Whether a tensor scales activations, so that no weight depends on it."""
    return _OF_ACTIVATIONS.fullmatch(name) is not None
