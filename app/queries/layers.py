"""The neurons of one layer, most specialised first."""

from collections.abc import Iterator
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
    chosen = list(_chosen(labels.holdings.model_ids[model], layer, query))
    with labels.connect() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(label).where(*chosen)).scalar_one()
        rows = connection.execute(_page(chosen, query)).all()
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


def _chosen(model: int, layer: int, query: LayerQuery) -> Iterator[sa.ColumnElement[bool]]:
    yield equal(label.c.model, model)
    yield equal(label.c.view, query.view)
    yield equal(label.c.lens, query.lens)
    yield equal(label.c.layer, layer)
    if query.strength:
        yield equal(label.c.strength, query.strength)


def _page(chosen: list[sa.ColumnElement[bool]], query: LayerQuery) -> sa.Select[Any]:
    """Sorted by narrow columns first: lists are read only for the neurons that are shown."""
    narrow = sa.select(label.c.neuron, label.c.z, label.c.layer_z, label.c.margin).where(*chosen)
    layer = narrow.cte("layer").prefix_with("MATERIALIZED")
    page = sa.select(layer).order_by(*_order(layer, query)).limit(query.limit).offset(query.offset).cte("page")
    shown = sa.select(label).join(page, page.c.neuron == label.c.neuron).where(*chosen)
    return shown.order_by(*_order(page, query))


def _order(table: sa.FromClause, query: LayerQuery) -> list[sa.ColumnElement[Any]]:
    if query.sort == "neuron":
        return [table.c.neuron]
    return [table.c[query.sort].desc().nulls_last(), table.c.neuron]


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
