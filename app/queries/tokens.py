"""Vocabulary entries: which match a text, and which neurons name one."""

from itertools import groupby
from typing import Any

import sqlalchemy as sa

from app.errors import NotFound
from app.labelfile.label_file import LabelFile
from app.labelfile.vocabulary import Vocabulary
from app.queries.params import Limit, Text
from app.queries.search.language import parse
from app.queries.search.results import KEY, MATCH, SHOWN, Found, Row, read_match, results
from app.queries.search.token_match import match, spelled
from app.queries.sql import equal
from neuronym.contract import SearchResult, TokenAnswer, TokenGroup, TokensAnswer
from neuronym.label_tables import label_by_token

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
        neurons = results(labels, connection, [Found(row, [read_match(row)], row.side) for row in rows])
    grouped = groupby(zip(rows, neurons, strict=True), key=lambda both: _group_of(both[0]))
    groups = [_group(list(both)) for _, both in grouped]
    return TokenAnswer(run=labels.run, token=entries[0], groups=groups)


def _named(labels: LabelFile, tokenizer: str, token_id: int) -> sa.Select[Any]:
    """The best rows of every group, with the size of their group."""
    id_ = next(id_ for id_, hash_ in labels.holdings.tokenizers.items() if hash_ == tokenizer)
    group = [hit[name] for name in _GROUP]
    best = sa.func.row_number().over(partition_by=group, order_by=[sa.func.abs(hit.z).desc(), hit.layer, hit.neuron])
    columns = [hit[name] for name in (*KEY, "side", *MATCH, *SHOWN)]
    total = sa.func.count().over(partition_by=group).label("total")
    here = (equal(hit.tokenizer, id_), equal(hit.token, token_id))
    rows = sa.select(*columns, total, best.label("place")).where(*here).subquery()
    return sa.select(rows).where(rows.c.place <= BEST).order_by(*(rows.c[name] for name in _GROUP), rows.c.place)


def _group_of(row: Row) -> tuple[Any, ...]:
    return tuple(row._mapping[name] for name in _GROUP)


def _group(both: list[tuple[Row, SearchResult]]) -> TokenGroup:
    """Neurons of one model, view, lens and side; each row knows how many there are."""
    row, first = both[0]
    return TokenGroup(
        model=first.model,
        view=first.view,
        lens=first.lens,
        side=first.side,
        total=row.total,
        neurons=[neuron for _, neuron in both],
    )
