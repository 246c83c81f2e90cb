"""Which pair is asked for by the names of its two models.

What is no pair is refused with what differs, or with how to map it as one.
"""

from shlex import quote
from typing import Any

from app.catalog import LabelFile
from app.contract import ModelSummary
from app.errors import Conflict, NotFound, clip
from app.holdings import Pair

FACTS = ("architecture", "layers", "neurons", "width", "tokenizer")  # what two checkpoints of one pair have in common


def find_compared(labels: LabelFile, base: str, instruct: str) -> Pair:
    """The pair of these two; NotFound names the pairs there are, Conflict says why these two are none."""
    missing = [name for name in (base, instruct) if name not in labels.models]
    if missing:
        raise NotFound(f"No model “{clip(missing[0])}” is mapped. {_there_are(labels)}")
    pairs = labels.holdings.pairs.values()
    known = next((pair for pair in pairs if (pair.base, pair.instruct) == (base, instruct)), None)
    if known is None:
        raise Conflict(_why_not(labels, labels.models[base], labels.models[instruct]))
    return known


def about(labels: LabelFile, pair: Pair) -> dict[str, Any]:
    """The fields of a `PairAnswer`; a model's note counts where the pair has none."""
    return {
        "run": labels.run,
        "pair": pair.name,
        "base": pair.base,
        "instruct": pair.instruct,
        "note": pair.note or labels.models[pair.base].note or labels.models[pair.instruct].note,
    }


def kept(labels: LabelFile, pair: Pair) -> int:
    """How many top tokens of each label are kept: what an overlap is a share of."""
    return min(int(str(labels.models[name].settings["top_k"])) for name in (pair.base, pair.instruct))


def _there_are(labels: LabelFile) -> str:
    pairs = [f"{pair.base} with {pair.instruct}" for pair in labels.holdings.pairs.values()]
    if not pairs:
        return "No pair is mapped yet: `neuronym-worker map BASE INSTRUCT` maps one."
    return f"Mapped pairs: {', '.join(pairs)}."


def _why_not(labels: LabelFile, base: ModelSummary, instruct: ModelSummary) -> str:
    if base.name == instruct.name:
        return f"{base.name} is one model. Name a base and an instruct model. {_there_are(labels)}"
    if any((pair.base, pair.instruct) == (instruct.name, base.name) for pair in labels.holdings.pairs.values()):
        return f"In this pair {instruct.name} is the base: ask for {instruct.name}/{base.name}."
    differing = [
        f"{fact} ({getattr(base, fact)} and {getattr(instruct, fact)})"
        for fact in FACTS
        if getattr(base, fact) != getattr(instruct, fact)
    ]
    if differing:
        return f"{base.name} and {instruct.name} cannot be compared: they differ in {', '.join(differing)}."
    sources = f"{quote(base.source)} {quote(instruct.source)}"
    return (
        f"{base.name} and {instruct.name} are mapped, but not as a pair. "
        f"Map them as one: `neuronym-worker map {sources} --name {base.name} --name {instruct.name}`."
    )
