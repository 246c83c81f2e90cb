"""Tokens gained and lost between the models of a pair: top tokens of more neurons in one than in the other."""

from collections.abc import Iterator
from typing import Any, Literal

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.pairs.lookup import PairQuery, asked_tokens, find_compared, note_of, token_is
from app.queries.sql import equal
from neuronym.contract import ConceptChange, ConceptsAnswer, Lens
from neuronym.label_tables import concept

STRONGEST = 8  # tokens that the overview names in each direction

Direction = Literal["any", "gained", "lost"]


class ConceptsQuery(PairQuery):
    """Which tokens are listed: by direction, view, lens and text. The largest change comes first."""

    direction: Direction = "any"


def concepts(labels: LabelFile, base: str, instruct: str, query: ConceptsQuery) -> ConceptsAnswer:
    """Tokens whose number of neurons changed; NotFound and Conflict as in `find_compared`."""
    pair = find_compared(labels, base, instruct)
    asked = asked_tokens(labels, pair, query)
    with labels.connect() as connection:
        total, results = _page(labels, connection, pair, query, asked.ids)
    return ConceptsAnswer(
        run=labels.run,
        pair=pair.name,
        base=pair.base,
        instruct=pair.instruct,
        note=note_of(labels, pair),
        notes=asked.notes,
        total=total,
        limit=query.limit,
        offset=query.offset,
        results=results,
    )


def strongest(labels: LabelFile, connection: sa.Connection, pair: Pair, direction: Direction) -> list[ConceptChange]:
    """The few tokens that changed most in one direction, under the lens that is shown first."""
    lenses = labels.models[pair.base].lenses
    lens = Lens.cosine if Lens.cosine in lenses else lenses[0]
    query = ConceptsQuery(direction=direction, lens=lens, limit=STRONGEST)
    return _page(labels, connection, pair, query, None)[1]


def _page(
    labels: LabelFile, connection: sa.Connection, pair: Pair, query: ConceptsQuery, tokens: list[int] | None
) -> tuple[int, list[ConceptChange]]:
    change = (concept.c.instruct_neurons - concept.c.base_neurons).label("change")
    chosen = sa.select(concept, change).where(*_conditions(pair, query, change, tokens)).cte("chosen")
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
    pair: Pair, query: ConceptsQuery, change: sa.ColumnElement[int], tokens: list[int] | None
) -> Iterator[sa.ColumnElement[Any]]:
    yield equal(concept.c.pair, pair.id)
    yield equal(concept.c.lens, query.lens)
    if query.view != "any":
        yield equal(concept.c.view, query.view)
    if query.direction != "any":
        yield change > 0 if query.direction == "gained" else change < 0
    if tokens is not None:
        yield token_is(tokens, concept.c.token)
