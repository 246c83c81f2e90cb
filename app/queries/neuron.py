"""All that is known of one neuron: its labels, what it does on text, what clamping it does, and where to go from it."""

import json
from math import exp
from typing import Any

import sqlalchemy as sa

from app.catalog import LabelFile
from app.contract import (
    ActivityAnswer,
    CounterpartNeuron,
    Direction,
    EffectAnswer,
    LabelAnswer,
    Lens,
    ModelSummary,
    Neighbours,
    NeuronAnswer,
    ScoredToken,
    SimilarNeuron,
    Site,
    View,
)
from app.queries.conditions import equal
from app.queries.counterparts import LabelKey, counterparts
from app.queries.places import find_model, find_neuron, neuron_name, neuron_ref
from app.schema import QUANTILES, activity, effect, label, label_place, neighbour
from app.vocabulary import Vocabulary

Row = sa.Row[Any]
Labels = dict[View, dict[Lens, LabelAnswer]]

VIEW_OF_SITE = {Site.up: View.up, Site.gate: View.gate, Site.act: View.down}  # whose label a clamp is measured by


def neuron(labels: LabelFile, model: str, layer: int, index: int) -> NeuronAnswer:
    """A neuron's labels, activity, effect and neighbours; NotFound names the models or the range."""
    summary = find_model(labels, model)
    find_neuron(summary, layer, index)
    with labels.connect() as connection:
        rows = {table: _rows(labels, connection, table, model, layer, index) for table in _TABLES}
        found = _labels(rows[label], labels.vocabulary(model))
        return NeuronAnswer(
            run=labels.run,
            **dict(neuron_ref(model, layer, index)),
            views=found,
            activity=_activity(rows[activity]),
            effect=_effect(rows[effect], summary, labels.vocabulary(model)),
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


def _labels(rows: list[Row], vocabulary: Vocabulary) -> Labels:
    by_view: Labels = {}
    for row in sorted(rows, key=lambda row: (list(View).index(row.view), list(Lens).index(row.lens))):
        by_view.setdefault(row.view, {})[row.lens] = label_answer(row, vocabulary)
    return by_view


def label_answer(row: Row, vocabulary: Vocabulary) -> LabelAnswer:
    """A row of `label` as it is answered."""
    logit = row.logsumexp is not None and row.top_scores
    values = row._mapping
    return LabelAnswer(
        top_tokens=scored(vocabulary, row.top_ids, row.top_scores),
        bottom_tokens=scored(vocabulary, row.bottom_ids, row.bottom_scores),
        probability=exp(row.top_scores[0] - row.logsumexp) if logit else None,
        **{name: values[name] for name in _MEASURES},
    )


_MEASURES = ("norm", "mean", "std", "skew", "kurtosis", "z", "margin", "layer_z", "strength", "logsumexp")


def scored(vocabulary: Vocabulary, ids: list[int], scores: list[float]) -> list[ScoredToken]:
    """Token ids with their texts and scores."""
    return [ScoredToken(**dict(vocabulary.token(id_)), score=score) for id_, score in zip(ids, scores, strict=True)]


def _activity(rows: list[Row]) -> dict[Site, ActivityAnswer] | None:
    answers = {
        row.site: ActivityAnswer(
            p=list(QUANTILES), q=row.quantiles, fires=row.fires, contexts=json.loads(row.contexts or "[]")
        )
        for row in rows
    }
    return answers or None


def _effect(
    rows: list[Row], model: ModelSummary, vocabulary: Vocabulary
) -> dict[Site, dict[Direction, EffectAnswer]] | None:
    by_site: dict[Site, dict[Direction, EffectAnswer]] = {}
    for row in rows:
        by_site.setdefault(row.site, {})[row.direction] = _effect_answer(row, model, vocabulary)
    return by_site or None


def _effect_answer(row: Row, model: ModelSummary, vocabulary: Vocabulary) -> EffectAnswer:
    place = _place(model, row.site)
    return EffectAnswer(
        value=row.value,
        token=vocabulary.token(row.tokens[place]),
        delta=row.deltas[place],
        control=row.controls[place],
        rank=row.ranks[place],
        kl=row.kl,
        moved=vocabulary.token(row.moved),
        moved_delta=row.moved_delta,
    )


def _place(model: ModelSummary, site: Site) -> int:
    """Where an effect's lists hold the label of the site's own view; cosine where the model has it."""
    view = VIEW_OF_SITE[site] if VIEW_OF_SITE[site] in model.views else model.views[0]
    return label_place(view, Lens.cosine if Lens.cosine in model.lenses else model.lenses[0])


def _neighbours(rows: list[Row], model: ModelSummary, layer: int, index: int) -> Neighbours:
    similar = [
        SimilarNeuron(neuron=neuron_name(layer, near), view=row.view, cosine=cosine)
        for row in rows
        for near, cosine in zip(row.neurons, row.cosines, strict=True)
    ]
    place = layer * model.neurons + index
    return Neighbours(previous=_at(model, place - 1), next=_at(model, place + 1), similar=similar)


def _at(model: ModelSummary, place: int) -> str | None:
    """The neuron at a place in the whole model, counted through its layers."""
    if not 0 <= place < model.layers * model.neurons:
        return None
    return neuron_name(*divmod(place, model.neurons))


def _counterpart(
    labels: LabelFile, connection: sa.Connection, found: Labels, model: str, layer: int, index: int
) -> CounterpartNeuron | None:
    pairs = labels.holdings.pairs_of(model)
    if not pairs:
        return None
    keys = [LabelKey(model, layer, index, view, lens) for view, lenses in found.items() for lens in lenses]
    there = counterparts(labels, connection, keys)
    views = {view: {key.lens: there[key] for key in keys if key.view == view and key in there} for view in found}
    pair = pairs[0]
    return CounterpartNeuron(model=pair.other(model), pair=pair.name, role=pair.role(pair.other(model)), views=views)
