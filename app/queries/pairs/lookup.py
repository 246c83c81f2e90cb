"""Find a pair by the names of its two models, and read the parameters that all lists about a pair share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import Field

from app.errors import Conflict, NotFound, clip
from app.labelfile.library import Library
from app.labelfile.summary import Pair
from app.queries.lookup import check_view
from app.queries.params import MAX_QUERY, Limit, Offset, Question
from app.queries.search.language import parse
from app.queries.search.token_match import find_tokens
from app.queries.sql import one_of
from neuronym.contract import Lens, ModelSummary, View

FACTS = ("architecture", "layers", "neurons", "width", "tokenizer")  # equal in the two models of a pair


def find_pair_by_models(labels: Library, base: str, instruct: str) -> Pair:
    """Find the pair of two models.

    NotFound names the mapped pairs; Conflict says what differs between the models, or how to map them as a pair.
    """
    missing = [name for name in (base, instruct) if name not in labels.models]
    if missing:
        raise NotFound(f"No model “{clip(missing[0])}” is mapped. {_mapped_pairs(labels)}")
    pairs = labels.holdings.pairs.values()
    pair = next((pair for pair in pairs if (pair.base, pair.instruct) == (base, instruct)), None)
    if pair is None:
        raise Conflict(_explain_no_pair(labels, labels.models[base], labels.models[instruct]))
    return pair


def pair_note(labels: Library, pair: Pair) -> str | None:
    """The note of a pair; where it has none, the note of its base or else of its instruct model."""
    return pair.dated(pair.note or labels.models[pair.base].note or labels.models[pair.instruct].note)


def count_top_tokens(labels: Library, pair: Pair) -> int:
    """How many top tokens a label of this pair has: what `overlap` is a share of."""
    return min(int(str(labels.models[name].settings["top_k"])) for name in (pair.base, pair.instruct))


def _mapped_pairs(labels: Library) -> str:
    """A sentence that names the mapped pairs, or how to map one."""
    pairs = [f"{pair.base} with {pair.instruct}" for pair in labels.holdings.pairs.values()]
    if not pairs:
        return "No pair is mapped yet: `neuronym-worker map BASE INSTRUCT` maps one."
    return f"Mapped pairs: {', '.join(pairs)}."


def _explain_no_pair(labels: Library, base: ModelSummary, instruct: ModelSummary) -> str:
    """Explain why two mapped models are not a pair, and what to do."""
    if base.name == instruct.name:
        return f"{base.name} is one model. Name a base and an instruct model. {_mapped_pairs(labels)}"
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
    """Which labels of a pair are listed."""

    view: Literal["any", View.up, View.gate, View.down] = "any"
    lens: Lens = Lens.cosine
    concept: Annotated[
        str, Field(max_length=MAX_QUERY, description='A token, old or new: a word, `"exact"`, `pre*`, or `a, b`.')
    ] = ""
    limit: Limit = 50
    offset: Offset = 0


@dataclass(frozen=True)
class ConceptTokens:
    """The tokens that a query's concept names, `ids` None where it has none; `notes` are sentences for the user."""

    ids: list[int] | None = None
    notes: list[str] = field(default_factory=list)


def find_concept_tokens(labels: Library, pair: Pair, query: PairQuery) -> ConceptTokens:
    """Find the tokens of a query's concept; Unprocessable when the pair was not mapped under its view or lens."""
    base = labels.models[pair.base]
    check_view([base], base.views[0] if query.view == "any" else query.view, query.lens)
    if not query.concept.strip():
        return ConceptTokens()
    parsed = parse(query.concept)
    vocabulary = labels.vocabulary(pair.base)
    matches = find_tokens(parsed.alternatives, {vocabulary.hash: vocabulary})
    notes = parsed.notes + matches.notes
    if parsed.neurons and not parsed.alternatives:
        notes.append("A concept is a token; a neuron has its own page.")
    return ConceptTokens(matches.tokens.get(vocabulary.hash, []), notes)


def holds_token(tokens: Sequence[int], *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether one of the columns holds one of these tokens."""
    if not tokens:
        return sa.false()
    return sa.or_(*(one_of(column, tokens) for column in columns))
