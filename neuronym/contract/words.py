"""The enumerations of the API and of label files."""

from enum import StrEnum


class View(StrEnum):
    """Which weight vector of a neuron is decoded: rows of up_proj and gate_proj read, columns of down_proj write."""

    up = "up"
    gate = "gate"
    down = "down"


class Lens(StrEnum):
    """How a weight vector w is compared with tokens: `logit` is W_U @ w, `cosine` the same with both at unit length."""

    logit = "logit"
    cosine = "cosine"


class Side(StrEnum):
    """Highest or lowest scoring tokens."""

    top = "top"
    bottom = "bottom"


class Strength(StrEnum):
    """How far a label stands above its control; the rule is on the method page."""

    noise = "noise"
    weak = "weak"
    strong = "strong"


class Kind(StrEnum):
    """What a token of the vocabulary is."""

    word = "word"  # starts a word: carries a leading space
    continuation = "continuation"
    special = "special"
    bytes = "bytes"  # not valid UTF-8 by itself


class Site(StrEnum):
    """Where a clamp takes hold in `down_proj(act(gate_proj(x)) * up_proj(x))`."""

    up = "up"  # output of up_proj (hook_pre_linear)
    gate = "gate"  # output of gate_proj, before the activation (hook_pre)
    act = "act"  # the product, input of down_proj (hook_post)


class Mode(StrEnum):
    """What a clamp does to the value at its site."""

    set = "set"
    add = "add"
    scale = "scale"


class Direction(StrEnum):
    """The end of a neuron's own range at which its effect was measured."""

    high = "high"
    low = "low"


class Role(StrEnum):
    """A checkpoint's place in a pair: before or after tuning."""

    base = "base"
    instruct = "instruct"
