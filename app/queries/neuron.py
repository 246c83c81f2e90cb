"""All that is known of one neuron: its labels, what it does on text, what clamping it does, and where to go from it."""

import json
from typing import Any

import sqlalchemy as sa

from app.catalog import LabelFile
from app.contract import (
    ActivityAnswer,
    CounterpartNeuron,
    ModelSummary,
    Neighbours,
    NeuronAnswer,
    SimilarNeuron,
    Site,
)
from app.queries.conditions import equal
from app.queries.counterparts import LabelKey, counterparts
from app.queries.effects import effect_answers
from app.queries.named import Labels, label_answers
from app.queries.places import find_model, find_neuron, neuron_name, neuron_ref
from app.schema import QUANTILES, activity, effect, label, neighbour

Row = sa.Row[Any]


def neuron(labels: LabelFile, model: str, layer: int, index: int) -> NeuronAnswer:
    """A neuron's labels, activity, effect and neighbours; NotFound names the models or the range."""
    summary = find_model(labels, model)
    find_neuron(summary, layer, index)
    with labels.connect() as connection:
        rows = {table: _rows(labels, connection, table, model, layer, index) for table in _TABLES}
        found = label_answers(labels, model, rows[label])
        return NeuronAnswer(
            run=labels.run,
            **dict(neuron_ref(model, layer, index)),
            views=found,
            activity=_activity(rows[activity]),
            effect=effect_answers(rows[effect], summary, labels.vocabulary(model)),
            neighbours=_neighbours(rows[neighbour], summary, layer, index),
            counterpart=_counterpart(labels, connection, found, model, layer, index),
        )


_TABLES = (label, activity, effect, neighbour)


def _rows(
    labels: LabelFile, connection: sa.Connection, table: sa.Table, model: str, layer: int, index: int
) -> list[Row]:
    place = {"model": labels.holdings.model_ids[model], "layer": layer, "neuron": index}
    here = (equal(table.c[name], value) for name, value in place.items())
    return list(connection.execute(sa.select(table).where(*here)))


def _activity(rows: list[Row]) -> dict[Site, ActivityAnswer] | None:
    answers = {
        row.site: ActivityAnswer(
            p=list(QUANTILES), q=row.quantiles, fires=row.fires, contexts=json.loads(row.contexts or "[]")
        )
        for row in rows
    }
    return answers or None


def _neighbours(rows: list[Row], model: ModelSummary, layer: int, index: int) -> Neighbours:
    similar = [
        SimilarNeuron(neuron=neuron_name(layer, near), view=row.view, cosine=cosine)
        for row in rows
        for near, cosine in zip(row.neurons, row.cosines, strict=True)
    ]
    place = layer * model.neurons + index
    return Neighbours(previous=_at(model, place - 1), next=_at(model, place + 1), similar=similar)


def _at(model: ModelSummary, place: int) -> str | None:
    """The neuron at a place in the whole model, counted through its layers; None where nothing is mapped."""
    layer, index = divmod(place, model.neurons)
    return neuron_name(layer, index) if layer in model.mapped else None


def _counterpart(
    labels: LabelFile, connection: sa.Connection, found: Labels, model: str, layer: int, index: int
) -> CounterpartNeuron | None:
    pairs = labels.holdings.pairs_of(model)
    if not pairs or layer not in labels.models[pairs[0].other(model)].mapped:
        return None
    keys = [LabelKey(model, layer, index, view, lens) for view, lenses in found.items() for lens in lenses]
    there = counterparts(labels, connection, keys)
    views = {view: {key.lens: there[key] for key in keys if key.view == view and key in there} for view in found}
    pair = pairs[0]
    return CounterpartNeuron(model=pair.other(model), pair=pair.name, role=pair.role(pair.other(model)), views=views)
