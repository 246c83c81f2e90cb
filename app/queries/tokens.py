"""Vocabulary entries: which match a text, and which neurons name one."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from app.catalog import LabelFile
from app.contract import TokenAnswer, TokenGroup, TokensAnswer
from app.errors import NotFound
from app.queries.matching import match, spelled
from app.queries.query import parse
from app.queries.question import Limit, Text
from app.queries.results import KEY, MATCH, SHOWN, Match, Row, results
from app.schema import label_by_token
from app.vocabulary import Vocabulary

BEST = 10  # neurons of one group that a token's answer names

hit = label_by_token.c
_GROUP = ("model", "view", "lens", "side")


class TokensQuery(Text):
    """A text in the language of the search box; `tokenizer` narrows to one vocabulary."""

    tokenizer: str | None = None
    limit: Limit = 50


def tokens(labels: LabelFile, query: TokensQuery) -> TokensAnswer:
    """Tokens that match, or the pieces a text is split into; NotFound names the vocabularies there are."""
    vocabularies = labels.vocabularies(labels.models)
    if query.tokenizer:
        vocabularies = {query.tokenizer: find_vocabulary(labels, query.tokenizer)}
    parsed = parse(query.q)
    found = match(parsed.alternatives, vocabularies)
    entries = spelled(found.tokens, vocabularies)
    notes = parsed.notes + found.notes
    if len(entries) > query.limit:
        notes.append(f"{len(entries)} tokens match; the first {query.limit} are listed.")
    return TokensAnswer(
        run=labels.run,
        query=query.q,
        tokens=entries[: query.limit],
        pieces=spelled(found.pieces, vocabularies),
        notes=notes,
    )


def find_vocabulary(labels: LabelFile, tokenizer: str) -> Vocabulary:
    """The vocabulary with this hash; NotFound names those there are."""
    vocabularies = labels.vocabularies(labels.models)
    if tokenizer not in vocabularies:
        raise NotFound(f"No such tokenizer. There is: {', '.join(vocabularies)}.")
    return vocabularies[tokenizer]


def token(labels: LabelFile, tokenizer: str, token_id: int) -> TokenAnswer:
    """A token and the neurons that name it, grouped by model, view, lens and side; NotFound names what is there."""
    vocabulary = find_vocabulary(labels, tokenizer)
    entries = vocabulary.describe([token_id])
    if not entries:
        raise NotFound(f"The vocabulary {tokenizer} has no token {token_id}; its highest id is {vocabulary.highest}.")
    with labels.connect() as connection:
        rows = connection.execute(_named(labels, tokenizer, token_id)).all()
        groups = [list(group) for _, group in groupby(rows, key=_group_of)]
        return TokenAnswer(
            run=labels.run, token=entries[0], groups=[_group(labels, connection, group) for group in groups]
        )


def _named(labels: LabelFile, tokenizer: str, token_id: int) -> sa.Select[Any]:
    """The best rows of every group, with the size of their group."""
    id_ = next(id_ for id_, hash_ in labels.holdings.tokenizers.items() if hash_ == tokenizer)
    group = [hit[name] for name in _GROUP]
    best = sa.func.row_number().over(partition_by=group, order_by=[sa.func.abs(hit.z).desc(), hit.layer, hit.neuron])
    columns = [hit[name] for name in (*KEY, "side", *MATCH, *SHOWN)]
    total = sa.func.count().over(partition_by=group).label("total")
    rows = sa.select(*columns, total, best.label("place")).where(hit.tokenizer == id_, hit.token == token_id).subquery()
    return sa.select(rows).where(rows.c.place <= BEST).order_by(*(rows.c[name] for name in _GROUP), rows.c.place)


def _group_of(row: Row) -> tuple[Any, ...]:
    return tuple(row._mapping[name] for name in _GROUP)


def _group(labels: LabelFile, connection: sa.Connection, rows: Sequence[Row]) -> TokenGroup:
    first = rows[0]
    found = [(row, [Match(*(row._mapping[name] for name in MATCH))]) for row in rows]
    neurons = results(labels, connection, found, first.side)
    return TokenGroup(
        model=neurons[0].model, view=first.view, lens=first.lens, side=first.side, total=first.total, neurons=neurons
    )
