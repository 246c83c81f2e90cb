"""Tokens of the vocabularies: which match a text, and which neurons have a given token in their label."""

from itertools import groupby
from typing import Any

import sqlalchemy as sa

from app.errors import NotFound
from app.labelfile.label_file import LabelFile
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.params import Limit, TextQuestion
from app.queries.search.language import parse
from app.queries.search.results import (
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
from neuronym.contract import SearchResult, TokenAnswer, TokenGroup, TokensAnswer
from neuronym.label_tables import label_by_token

BEST = 10  # neurons of one group that a token's answer names

hit = label_by_token.c
_GROUP_COLUMNS = ("model", "view", "lens", "side")


class TokensQuery(TextQuestion):
    """A text in the language of the search box; `tokenizer` narrows to one vocabulary."""

    tokenizer: str | None = None
    limit: Limit = 50


def tokens(labels: LabelFile, query: TokensQuery) -> TokensAnswer:
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


def find_vocabulary(labels: LabelFile, tokenizer: str) -> VocabularyIndex:
    """Find the vocabulary with this hash; NotFound names the vocabularies of the label file."""
    vocabularies = labels.vocabularies(labels.models)
    if tokenizer not in vocabularies:
        raise NotFound(f"No such tokenizer. There is: {', '.join(vocabularies)}.")
    return vocabularies[tokenizer]


def token(labels: LabelFile, tokenizer: str, token_id: int) -> TokenAnswer:
    """A token and the neurons with it in their label, grouped by model, view, lens and side.

    NotFound names the vocabularies, or the highest token id.
    """
    vocabulary = find_vocabulary(labels, tokenizer)
    entries = vocabulary.describe([token_id])
    if not entries:
        raise NotFound(f"The vocabulary {tokenizer} has no token {token_id}; its highest id is {vocabulary.highest}.")
    with labels.connect() as connection:
        rows = connection.execute(_select_best(labels, tokenizer, token_id)).all()
        neurons = search_results(
            labels, connection, [MatchedLabel(row, [read_matched_token(row)], row.side) for row in rows]
        )
    grouped = groupby(zip(rows, neurons, strict=True), key=lambda entry: _group_key(entry[0]))
    groups = [_token_group(list(group)) for _, group in grouped]
    return TokenAnswer(run=labels.run, token=entries[0], groups=groups)


def _select_best(labels: LabelFile, tokenizer: str, token_id: int) -> sa.Select[Any]:
    """Select the best rows of each group, with the size of the group."""
    id_ = next(id_ for id_, hash_ in labels.holdings.tokenizers.items() if hash_ == tokenizer)
    group = [hit[name] for name in _GROUP_COLUMNS]
    rank = sa.func.row_number().over(partition_by=group, order_by=[sa.func.abs(hit.z).desc(), hit.layer, hit.neuron])
    columns = [hit[name] for name in (*LABEL_KEY, "side", *TOKEN_COLUMNS, *LABEL_COLUMNS)]
    total = sa.func.count().over(partition_by=group).label("total")
    conditions = (equal(hit.tokenizer, id_), equal(hit.token, token_id))
    rows = sa.select(*columns, total, rank.label("place")).where(*conditions).subquery()
    return (
        sa.select(rows).where(rows.c.place <= BEST).order_by(*(rows.c[name] for name in _GROUP_COLUMNS), rows.c.place)
    )


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
