"""Which rows of `label_by_token` the filters of a search leave, whatever text is asked for."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from app.catalog import LabelFile
from app.contract import ModelSummary
from app.errors import Unprocessable
from app.holdings import Pair
from app.queries.conditions import equal, literal, one_of
from app.queries.filters import Filters
from app.queries.ordering import outwards
from app.queries.places import check_view, find_model, find_pair
from app.schema import drift, label_by_token

hit = label_by_token.c


def models_asked(labels: LabelFile, filters: Filters) -> list[ModelSummary]:
    """The models that are meant; NotFound or Unprocessable when what is asked for is not among them."""
    pair = find_pair(labels, filters.pair) if filters.pair else None
    models = [labels.models[name] for name in ((pair.base, pair.instruct) if pair else labels.models)]
    if filters.model:
        models = [find_model(labels, filters.model)]
        if pair and filters.model not in (pair.base, pair.instruct):
            raise Unprocessable(
                f"model: {filters.model} is not in the pair {pair.name} ({pair.base}, {pair.instruct})."
            )
    low, high = filters.layer_min, filters.layer_max
    if low is not None and high is not None and low > high:
        raise Unprocessable(f"layer_min: {low} is above layer_max, {high}.")
    if filters.view != "any":
        check_view(models, filters.view, None if filters.lens == "any" else filters.lens)
    return models


def conditions(labels: LabelFile, filters: Filters, models: Sequence[str]) -> Iterator[sa.ColumnElement[bool]]:
    """What every row meets, but for an agreement that rows do not carry (`elsewhere`)."""
    if filters.side != "any":
        yield equal(hit.side, filters.side)
    if filters.lens != "any":
        yield equal(hit.lens, filters.lens)
    if len(models) < len(labels.models):
        yield one_of(hit.model, (labels.holdings.model_ids[name] for name in models))
    if filters.view != "any":
        yield equal(hit.view, filters.view)
    if filters.layer_min is not None:
        yield hit.layer >= literal(hit.layer, filters.layer_min)
    if filters.layer_max is not None:
        yield hit.layer <= literal(hit.layer, filters.layer_max)
    if filters.min_z is not None:
        yield outwards(hit.side if filters.side == "any" else filters.side, hit.z) >= literal(hit.z, filters.min_z)
    if filters.strength:
        yield equal(hit.strength, filters.strength)
    if filters.agreement and elsewhere(labels, filters, models) is None:
        yield equal(hit.agreement, filters.agreement == "same")


def elsewhere(labels: LabelFile, filters: Filters, models: Sequence[str]) -> Pair | None:
    """The pair that is asked for, where rows do not say if they agree in it: they do for their model's first."""
    pair = labels.holdings.pairs.get(filters.pair or "")
    if pair is None or all(labels.holdings.pairs_of(name)[0] == pair for name in models):
        return None
    return pair


def agreeing(rows: sa.CTE, pair: Pair, same_top: bool) -> sa.CTE:
    """Those rows that agree, or do not, in a pair that is not the first of their model."""
    there = [drift.c[name] == rows.c[name] for name in ("layer", "neuron", "view", "lens")]
    moved = sa.and_(equal(drift.c.pair, pair.id), equal(drift.c.same_top, same_top), *there)
    return sa.select(rows).join(drift, moved).cte("agreeing")
