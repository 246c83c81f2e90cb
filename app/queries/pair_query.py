"""What the lists about a pair have in common: view, lens, a concept as text, and how much of the list is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import Field

from app.catalog import LabelFile
from app.contract import Lens, View
from app.holdings import Pair
from app.queries.conditions import one_of
from app.queries.matching import match
from app.queries.places import check_view
from app.queries.query import parse
from app.queries.question import MAX_QUERY, Limit, Offset, Question


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
    if parsed.addresses and not parsed.alternatives:
        notes.append("A concept is a token; a neuron has its own page.")
    return AskedTokens(found.tokens.get(vocabulary.hash, []), notes)


def token_is(tokens: Sequence[int], *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether one of the columns holds one of these tokens."""
    if not tokens:
        return sa.false()
    return sa.or_(*(one_of(column, tokens) for column in columns))
