"""Tokens of the vocabularies: which match a text, and which neurons have a given token in their label."""

from itertools import groupby
from typing import Any

import sqlalchemy as sa

from app.errors import NotFound
from app.labelfile.library import Library
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.params import Limit, TextQuestion
from app.queries.search.language import parse
from app.queries.search.results import (
    FIRST_TOKENS,
    LABEL_COLUMNS,
    LABEL_KEY,
    TOKEN_COLUMNS,
    HitRow,
    MatchedLabel,
    read_matched_token,
    search_results,
)
from app.queries.search.token_match import describe_tokens, find_tokens
from app.queries.sql import equal
from neuronym.contract import SearchResult, Side, TokenAnswer, TokenGroup, TokensAnswer

BEST = 10  # neurons of one group that a token's answer names

_GROUP_COLUMNS = ("model", "view", "lens", "side")


class TokensQuery(TextQuestion):
    """A text in the language of the search box; `tokenizer` narrows to one vocabulary."""

    tokenizer: str | None = None
    limit: Limit = 50


def tokens(labels: Library, query: TokensQuery) -> TokensAnswer:
    """The tokens that match a text, or the pieces it is split into; errors as in `find_vocabulary`."""
    vocabularies = labels.vocabularies(labels.models)
    if query.tokenizer:
        vocabularies = {query.tokenizer: find_vocabulary(labels, query.tokenizer)}
    parsed = parse(query.q)
    matches = find_tokens(parsed.alternatives, vocabularies)
    entries = describe_tokens(matches.tokens, vocabularies)
    notes = parsed.notes + matches.notes
    if len(entries) > query.limit:
        notes.append(f"{len(entries)} tokens match; the first {query.limit} are listed.")
    return TokensAnswer(
        run=labels.run,
        query=query.q,
        tokens=entries[: query.limit],
        pieces=describe_tokens(matches.pieces, vocabularies),
        notes=notes,
    )


def find_vocabulary(labels: Library, tokenizer: str) -> VocabularyIndex:
    """Find the vocabulary with this hash; NotFound names the vocabularies of the library."""
    vocabularies = labels.vocabularies(labels.models)
    if tokenizer not in vocabularies:
        raise NotFound(f"No such tokenizer. There is: {', '.join(vocabularies)}.")
    return vocabularies[tokenizer]


def token(labels: Library, tokenizer: str, token_id: int) -> TokenAnswer:
    """A token and the neurons with it in their label, grouped by model, view, lens and side.

    NotFound names the vocabularies, or the highest token id.
    """
    vocabulary = find_vocabulary(labels, tokenizer)
    entries, token_place = vocabulary.describe([token_id]), vocabulary.place(token_id)
    if token_place is None:
        raise NotFound(f"The vocabulary {tokenizer} has no token {token_id}; its highest id is {vocabulary.highest}.")
    with labels.connect() as connection:
        rows = connection.execute(_select_best(labels, tokenizer, token_place)).all()
    neurons = search_results(labels, [MatchedLabel(row, [read_matched_token(row)], row.side) for row in rows])
    grouped = groupby(zip(rows, neurons, strict=True), key=lambda entry: _group_key(entry[0]))
    groups = [_token_group(list(group)) for _, group in grouped]
    return TokenAnswer(run=labels.run, token=entries[0], groups=groups)


def _select_best(labels: Library, tokenizer: str, token_place: int) -> sa.Select[Any]:
    """Select the best rows of each group, with the size of the group."""
    scans = [
        _select_best_of_model(labels.tables(name).label_by_token, place, token_place)
        for place, (name, model) in enumerate(labels.models.items())
        if model.tokenizer == tokenizer
    ]
    rows = sa.union_all(*scans).subquery()
    return sa.select(rows).order_by(*(rows.c[name] for name in _GROUP_COLUMNS), rows.c.nth)


def _select_best_of_model(hit: sa.Table, place: int, token_place: int) -> sa.Select[Any]:
    """Select the best rows of each group of one model, which has this place among all."""
    group = [hit.c[name] for name in _GROUP_COLUMNS[1:]]
    order = [sa.func.abs(hit.c.z).desc(), hit.c.layer, hit.c.neuron]
    rank = sa.func.row_number().over(partition_by=group, order_by=order)
    total = sa.func.count().over(partition_by=group).label("total")
    model = sa.literal_column(str(place), sa.SmallInteger).label("model")
    names = (*LABEL_KEY[1:], "side", *TOKEN_COLUMNS, *LABEL_COLUMNS, *FIRST_TOKENS[Side.bottom])
    columns = [hit.c[name] for name in names]
    rows = sa.select(model, *columns, total, rank.label("nth")).where(equal(hit.c.place, token_place)).subquery()
    return sa.select(rows).where(rows.c.nth <= BEST)


def _group_key(row: HitRow) -> tuple[Any, ...]:
    return tuple(row._mapping[name] for name in _GROUP_COLUMNS)


def _token_group(group: list[tuple[HitRow, SearchResult]]) -> TokenGroup:
    """The answer for one group, from its rows and results; the rows carry the size of the group."""
    row, first = group[0]
    return TokenGroup(
        model=first.model,
        view=first.view,
        lens=first.lens,
        side=first.side,
        total=row.total,
        neurons=[neuron for _, neuron in group],
    )
