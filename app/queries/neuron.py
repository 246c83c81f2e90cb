"""All that is known of one neuron: its labels, its activity, the effect of clamping it, and its neighbours."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import sqlalchemy as sa

from app.labelfile.library import Library
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.counterparts import LabelKey, find_counterparts
from app.queries.labels import LabelsByView, label_answers
from app.queries.lookup import check_neuron, find_model, neuron_ref
from app.queries.sql import equal
from neuronym.contract import (
    ActivityAnswer,
    CounterpartNeuron,
    Direction,
    EffectAnswer,
    LabelEffect,
    Lens,
    ModelSummary,
    Neighbours,
    NeuronAnswer,
    Side,
    SimilarNeuron,
    Site,
    View,
)
from neuronym.label_tables import QUANTILES, label_place
from neuronym.neuron_name import NeuronName
from neuronym.sites import VIEW_OF_SITE

TableRow = sa.Row[Any]


def neuron(labels: Library, model: str, layer: int, index: int) -> NeuronAnswer:
    """A neuron's labels, activity, effect and neighbours; NotFound names the models or the range."""
    summary = find_model(labels, model)
    check_neuron(summary, layer, index)
    ref = neuron_ref(model, layer, index)
    with labels.connect() as connection:
        tables = labels.tables(model)
        views = label_answers(labels, model, _read_rows(connection, tables.label, layer, index))
        return NeuronAnswer(
            run=labels.run,
            model=ref.model,
            neuron=ref.neuron,
            layer=ref.layer,
            index=ref.index,
            views=views,
            activity=_activity(_read_rows(connection, tables.activity, layer, index)),
            effect=effect_answers(
                _read_rows(connection, tables.effect, layer, index), summary, labels.vocabulary(model)
            ),
            neighbours=_neighbours(_read_rows(connection, tables.neighbour, layer, index), summary, layer, index),
            counterpart=_counterpart(labels, views, model, layer, index),
        )


def _read_rows(connection: sa.Connection, table: sa.Table, layer: int, index: int) -> list[TableRow]:
    conditions = (equal(table.c.layer, layer), equal(table.c.neuron, index))
    return list(connection.execute(sa.select(table).where(*conditions)))


def _activity(rows: list[TableRow]) -> dict[Site, ActivityAnswer] | None:
    answers = {
        row.site: ActivityAnswer(
            p=list(QUANTILES), q=row.quantiles, fires=row.fires, contexts=json.loads(row.contexts or "[]")
        )
        for row in rows
    }
    return answers or None


def _neighbours(rows: list[TableRow], model: ModelSummary, layer: int, index: int) -> Neighbours:
    similar = [
        SimilarNeuron(neuron=str(NeuronName(layer, similar_index)), view=row.view, cosine=cosine)
        for row in rows
        for similar_index, cosine in zip(row.neurons, row.cosines, strict=True)
    ]
    place = layer * model.neurons + index
    return Neighbours(previous=_name_at(model, place - 1), next=_name_at(model, place + 1), similar=similar)


def _name_at(model: ModelSummary, place: int) -> str | None:
    """The name of the neuron at this place, counted through all layers; None where its layer is not mapped."""
    layer, index = divmod(place, model.neurons)
    return str(NeuronName(layer, index)) if layer in model.mapped else None


def _counterpart(labels: Library, views: LabelsByView, model: str, layer: int, index: int) -> CounterpartNeuron | None:
    pairs = labels.holdings.pairs_of(model)
    if not pairs or layer not in labels.models[pairs[0].other(model)].mapped:
        return None
    keys = [LabelKey(model, layer, index, view, lens) for view, lenses in views.items() for lens in lenses]
    counterparts = find_counterparts(labels, keys)
    by_view = {
        view: {key.lens: counterparts[key] for key in keys if key.view == view and key in counterparts}
        for view in views
    }
    pair = pairs[0]
    return CounterpartNeuron(model=pair.other(model), pair=pair.name, role=pair.role(pair.other(model)), views=by_view)


def effect_answers(
    rows: list[TableRow], model: ModelSummary, vocabulary: VocabularyIndex
) -> dict[Site, dict[Direction, EffectAnswer]] | None:
    """The effects of one neuron by site and direction; None where no effect was measured."""
    by_site: dict[Site, dict[Direction, EffectAnswer]] = {}
    for row in sorted(rows, key=lambda row: (list(Site).index(row.site), list(Direction).index(row.direction))):
        by_site.setdefault(row.site, {})[row.direction] = _effect_answer(row, model, vocabulary)
    return by_site or None


def _effect_answer(row: TableRow, model: ModelSummary, vocabulary: VocabularyIndex) -> EffectAnswer:
    place = _own_label_place(model, row.site)
    return EffectAnswer(
        value=row.value,
        token=vocabulary.token(row.tokens[place]),
        delta=row.deltas[place],
        control=row.controls[place],
        rank=row.ranks[place],
        kl=row.kl,
        moved=vocabulary.token(row.moved),
        moved_delta=row.moved_delta,
        labels=list(_label_effects(row, vocabulary)),
    )


def _label_effects(row: TableRow, vocabulary: VocabularyIndex) -> Iterator[LabelEffect]:
    """The effects on the first tokens of both ends of each label that the model has."""
    for view, lens, side in product(View, Lens, Side):
        place = label_place(view, lens, side)
        if place < len(row.tokens) and row.tokens[place] >= 0:
            yield LabelEffect(
                view=view,
                lens=lens,
                side=side,
                token=vocabulary.token(row.tokens[place]),
                delta=row.deltas[place],
                control=row.controls[place],
                rank=row.ranks[place],
            )


def _own_label_place(model: ModelSummary, site: Site) -> int:
    """The place in an effect's lists of the label of the site's own view, under cosine where the model has it."""
    view = VIEW_OF_SITE[site] if VIEW_OF_SITE[site] in model.views else model.views[0]
    return label_place(view, Lens.cosine if Lens.cosine in model.lenses else model.lenses[0])
