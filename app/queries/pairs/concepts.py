"""Tokens gained and lost between the models of a pair: they are the top token of more neurons in one than the other."""

from collections.abc import Iterator
from typing import Any, Literal

import sqlalchemy as sa

from app.labelfile.library import Library
from app.labelfile.summary import Pair
from app.queries.pairs.lookup import PairQuery, find_concept_tokens, find_pair_by_models, holds_token, pair_note
from app.queries.sql import equal
from neuronym.contract import ConceptChange, ConceptsAnswer, Lens

LARGEST = 8  # tokens that the overview names in each direction

ChangeDirection = Literal["any", "gained", "lost"]


class ConceptsQuery(PairQuery):
    """Which tokens are listed, by direction, view, lens and text; the largest change comes first."""

    direction: ChangeDirection = "any"


def concepts(labels: Library, base: str, instruct: str, query: ConceptsQuery) -> ConceptsAnswer:
    """The tokens whose number of neurons changed; errors as in `find_pair_by_models`."""
    pair = find_pair_by_models(labels, base, instruct)
    concept_tokens = find_concept_tokens(labels, pair, query)
    with labels.connect() as connection:
        total, results = _read_page(labels, connection, pair, query, concept_tokens.ids)
    return ConceptsAnswer(
        run=labels.run,
        pair=pair.name,
        base=pair.base,
        instruct=pair.instruct,
        note=pair_note(labels, pair),
        notes=concept_tokens.notes,
        total=total,
        limit=query.limit,
        offset=query.offset,
        results=results,
    )


def largest_changes(
    labels: Library, connection: sa.Connection, pair: Pair, direction: ChangeDirection
) -> list[ConceptChange]:
    """The tokens that changed most in one direction, under cosine where the pair has it."""
    lenses = labels.models[pair.base].lenses
    lens = Lens.cosine if Lens.cosine in lenses else lenses[0]
    query = ConceptsQuery(direction=direction, lens=lens, limit=LARGEST)
    return _read_page(labels, connection, pair, query, None)[1]


def _read_page(
    labels: Library, connection: sa.Connection, pair: Pair, query: ConceptsQuery, tokens: list[int] | None
) -> tuple[int, list[ConceptChange]]:
    """How many tokens meet the query, and one page of them; `tokens` None lets all pass."""
    concept = labels.pair_tables(pair).concept
    change = (concept.c.instruct_neurons - concept.c.base_neurons).label("change")
    chosen = sa.select(concept, change).where(*_conditions(concept, query, change, tokens)).cte("chosen")
    columns = chosen.c
    order = (sa.func.abs(columns.change).desc(), columns.change.desc(), columns.view, columns.token)
    page = sa.select(chosen).order_by(*order).limit(query.limit).offset(query.offset)
    total = connection.execute(sa.select(sa.func.count()).select_from(chosen)).scalar_one()
    vocabulary = labels.vocabulary(pair.base)
    return total, [
        ConceptChange(
            token_id=row.token,
            text=vocabulary.token(row.token).text,
            view=row.view,
            lens=row.lens,
            base_neurons=row.base_neurons,
            instruct_neurons=row.instruct_neurons,
            change=row.change,
        )
        for row in connection.execute(page)
    ]


def _conditions(
    concept: sa.Table, query: ConceptsQuery, change: sa.ColumnElement[int], tokens: list[int] | None
) -> Iterator[sa.ColumnElement[Any]]:
    yield equal(concept.c.lens, query.lens)
    if query.view != "any":
        yield equal(concept.c.view, query.view)
    if query.direction != "any":
        yield change > 0 if query.direction == "gained" else change < 0
    if tokens is not None:
        yield holds_token(tokens, concept.c.token)
