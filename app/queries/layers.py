"""The neurons of one layer, most specialised first."""

from typing import Any, Literal

import sqlalchemy as sa

from app.catalog import LabelFile
from app.contract import LayerAnswer, LayerNeuron, Lens, Strength, View
from app.queries.conditions import equal
from app.queries.neuron import scored
from app.queries.places import check_view, find_layer, find_model, neuron_ref
from app.queries.question import Limit, Offset, Question
from app.schema import NAMED, label
from app.vocabulary import Vocabulary


class LayerQuery(Question):
    """Under which view and lens a layer is listed, and in which order."""

    view: View = View.up
    lens: Lens = Lens.cosine
    strength: Strength | None = None
    sort: Literal["z", "layer_z", "margin", "neuron"] = "z"
    limit: Limit = 50
    offset: Offset = 0


def layer(labels: LabelFile, model: str, layer: int, query: LayerQuery) -> LayerAnswer:
    """The neurons of `layer`; NotFound names the models or the range of layers."""
    summary = find_model(labels, model)
    find_layer(summary, layer)
    check_view([summary], query.view, query.lens)
    chosen = _chosen(labels.holdings.model_ids[model], layer, query)
    page = chosen.order_by(*_order(query)).limit(query.limit).offset(query.offset)
    with labels.connect() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(chosen.subquery())).scalar_one()
        rows = connection.execute(page).all()
    vocabulary = labels.vocabulary(model)
    return LayerAnswer(
        run=labels.run,
        model=model,
        layer=layer,
        layers=summary.layers,
        view=query.view,
        lens=query.lens,
        total=total,
        limit=query.limit,
        offset=query.offset,
        results=[_neuron(model, row, vocabulary) for row in rows],
    )


def _chosen(model: int, layer: int, query: LayerQuery) -> sa.Select[Any]:
    here = label.c
    found = sa.select(label).where(
        equal(here.model, model), equal(here.view, query.view), equal(here.lens, query.lens), equal(here.layer, layer)
    )
    return found.where(equal(here.strength, query.strength)) if query.strength else found


def _order(query: LayerQuery) -> list[sa.ColumnElement[Any]]:
    if query.sort == "neuron":
        return [label.c.neuron]
    return [label.c[query.sort].desc().nulls_last(), label.c.neuron]


def _neuron(model: str, row: sa.Row[Any], vocabulary: Vocabulary) -> LayerNeuron:
    return LayerNeuron(
        **dict(neuron_ref(model, row.layer, row.neuron)),
        view=row.view,
        lens=row.lens,
        z=row.z,
        layer_z=row.layer_z,
        margin=row.margin,
        strength=row.strength,
        top_tokens=scored(vocabulary, row.top_ids[:NAMED], row.top_scores[:NAMED]),
    )
