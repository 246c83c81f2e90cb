"""Which pair is asked for by the names of its two models, and what the lists about a pair have in common.

What is no pair is refused with what differs, or with how to map it as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import Field

from app.errors import Conflict, NotFound, clip
from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.lookup import check_view
from app.queries.params import MAX_QUERY, Limit, Offset, Question
from app.queries.search.language import parse
from app.queries.search.token_match import match
from app.queries.sql import one_of
from neuronym.contract import Lens, ModelSummary, View

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


def note_of(labels: LabelFile, pair: Pair) -> str | None:
    """What has to be known of a pair; a model's note counts where the pair has none."""
    return pair.note or labels.models[pair.base].note or labels.models[pair.instruct].note


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


class PairQuery(Question):
    """Which labels of a pair are meant."""

    view: Literal["any", View.up, View.gate, View.down] = "any"
    lens: Lens = Lens.cosine
    concept: Annotated[
        str, Field(max_length=MAX_QUERY, description='A token, old or new: a word, `"exact"`, `pre*`, or `a, b`.')
    ] = ""
    limit: Limit = 50
    offset: Offset = 0


@dataclass(frozen=True)
class AskedTokens:
    """The tokens a concept names; `ids` is None where none is asked for. `notes` are for the one who asked."""

    ids: list[int] | None = None
    notes: list[str] = field(default_factory=list)


def asked_tokens(labels: LabelFile, pair: Pair, query: PairQuery) -> AskedTokens:
    """Read a query's concept; Unprocessable when the pair was not mapped under its view and lens."""
    base = labels.models[pair.base]
    check_view([base], base.views[0] if query.view == "any" else query.view, query.lens)
    if not query.concept.strip():
        return AskedTokens()
    parsed = parse(query.concept)
    vocabulary = labels.vocabulary(pair.base)
    found = match(parsed.alternatives, {vocabulary.hash: vocabulary})
    notes = parsed.notes + found.notes
    if parsed.neurons and not parsed.alternatives:
        notes.append("A concept is a token; a neuron has its own page.")
    return AskedTokens(found.tokens.get(vocabulary.hash, []), notes)


def token_is(tokens: Sequence[int], *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether one of the columns holds one of these tokens."""
    if not tokens:
        return sa.false()
    return sa.or_(*(one_of(column, tokens) for column in columns))
