"""The neurons whose top token differs between base and instruct: filtered, sorted, one page of them."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import Field

from app.labelfile.library import Library
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.counterparts import first_tokens
from app.queries.lookup import check_layer
from app.queries.pairs.lookup import PairQuery, find_concept_tokens, find_pair_by_models, holds_token, pair_note
from app.queries.sql import equal
from neuronym.contract import ChangedAnswer, ChangedNeuron, Role
from neuronym.neuron_name import NeuronName

DriftRow = sa.Row[Any]


class ChangedQuery(PairQuery):
    """Which changed labels are listed, and in which order."""

    layer: Annotated[int, Field(ge=0, le=32767)] | None = None
    include_near_ties: Annotated[
        bool, Field(description="Also labels whose two top tokens changed places in a near tie.")
    ] = False
    sort: Annotated[
        Literal["drift", "overlap", "layer", "margin"],
        Field(
            description="`drift`: least cosine first; `overlap`: fewest shared top tokens first; `layer`: by address; "
            "`margin`: names that were clear in both models first."
        ),
    ] = "drift"


def changed_neurons(labels: Library, base: str, instruct: str, query: ChangedQuery) -> ChangedAnswer:
    """The neurons whose top token changed; errors as in `find_pair_by_models`, and NotFound for a missing layer."""
    pair = find_pair_by_models(labels, base, instruct)
    if query.layer is not None:
        check_layer(labels.models[base], query.layer)
    concept_tokens = find_concept_tokens(labels, pair, query)
    drift = labels.pair_tables(pair).drift
    conditions = list(_conditions(drift, query, concept_tokens.ids))
    with labels.connect() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(drift).where(*conditions)).scalar_one()
        rows = connection.execute(_select_page(drift, conditions, query)).all()
    vocabulary = labels.vocabulary(pair.base)
    return ChangedAnswer(
        run=labels.run,
        pair=pair.name,
        base=pair.base,
        instruct=pair.instruct,
        note=pair_note(labels, pair),
        notes=concept_tokens.notes,
        total=total,
        limit=query.limit,
        offset=query.offset,
        results=[_changed_neuron(row, vocabulary) for row in rows],
    )


def _conditions(drift: sa.Table, query: ChangedQuery, tokens: list[int] | None) -> Iterator[sa.ColumnElement[bool]]:
    yield equal(drift.c.lens, query.lens)
    yield equal(drift.c.same_top, False)
    if query.view != "any":
        yield equal(drift.c.view, query.view)
    if query.layer is not None:
        yield equal(drift.c.layer, query.layer)
    if not query.include_near_ties:
        yield equal(drift.c.near_tie, False)
    if tokens is not None:
        yield holds_token(tokens, drift.c.base_0, drift.c.instruct_0)


def _select_page(drift: sa.Table, conditions: list[sa.ColumnElement[bool]], query: ChangedQuery) -> sa.Select[Any]:
    """Select the rows of one page; rows that sort alike are ordered by address, so that pages never overlap."""
    orders: dict[str, list[sa.ColumnElement[Any]]] = {
        "drift": [drift.c.cosine],
        "overlap": [drift.c.overlap, drift.c.cosine],
        "layer": [],
        "margin": [sa.func.least(drift.c.base_margin, drift.c.instruct_margin).desc()],
    }
    address = (drift.c.layer, drift.c.neuron, drift.c.view)
    return (
        sa.select(drift)
        .where(*conditions)
        .order_by(*orders[query.sort], *address)
        .limit(query.limit)
        .offset(query.offset)
    )


def _changed_neuron(row: DriftRow, vocabulary: VocabularyIndex) -> ChangedNeuron:
    return ChangedNeuron(
        cosine=row.cosine,
        same_top=row.same_top,
        near_tie=row.near_tie,
        overlap=row.overlap,
        base_margin=row.base_margin,
        instruct_margin=row.instruct_margin,
        base_rank=row.base_rank,
        instruct_rank=row.instruct_rank,
        neuron=str(NeuronName(row.layer, row.neuron)),
        layer=row.layer,
        index=row.neuron,
        view=row.view,
        lens=row.lens,
        base_tokens=[vocabulary.token(id_) for id_ in first_tokens(row, Role.base)],
        instruct_tokens=[vocabulary.token(id_) for id_ in first_tokens(row, Role.instruct)],
    )
