"""The filters of a search, and the conditions on rows of `label_by_token` that follow from them.

The text of a search is no filter: it is known to `app.queries.search.language`.
"""

from collections.abc import Iterator
from typing import Annotated, Literal

import sqlalchemy as sa
from pydantic import Field, FiniteFloat

from app.errors import Unprocessable
from app.labelfile.library import Library
from app.labelfile.summary import Pair
from app.queries.lookup import check_view, find_model, find_pair
from app.queries.params import Limit, Offset, Question
from app.queries.sql import equal, literal
from neuronym.contract import Lens, ModelSummary, Side, Strength, View
from neuronym.label_tables import outwards

SearchOrder = Literal["z", "trust", "score", "effect", "layer_z", "neuron"]


class Filters(Question):
    """Which labels are searched, and in which order; an unset filter lets all labels pass."""

    model: Annotated[str | None, Field(description="Only this model.")] = None
    pair: Annotated[str | None, Field(description="Only the two models of this pair; counterparts are in it.")] = None
    view: Annotated[
        Literal["any", View.up, View.gate, View.down],
        Field(description="Which weight vector: up and gate read the residual stream, down writes to it."),
    ] = "any"
    lens: Annotated[Literal["any", Lens.logit, Lens.cosine], Field(description="How it is decoded.")] = Lens.cosine
    side: Annotated[
        Literal["any", Side.top, Side.bottom], Field(description="Among a label's highest or lowest tokens.")
    ] = Side.top
    layer_min: Annotated[int | None, Field(ge=0, le=32767, description="First layer.")] = None
    layer_max: Annotated[int | None, Field(ge=0, le=32767, description="Last layer.")] = None
    min_z: Annotated[FiniteFloat | None, Field(ge=0, description="Least |z| of the matching token.")] = None
    strength: Annotated[Strength | None, Field(description="How far the label stands above its control.")] = None
    agreement: Annotated[
        Literal["same", "changed"] | None,
        Field(
            description="Whether the counterpart in the pair (`pair`, else the model's first) has the same top token."
        ),
    ] = None
    sort: Annotated[
        SearchOrder,
        Field(
            description="Best first; unmeasured last. `trust`: labels above noise, of these first those with the token "
            "among their first five; then strong before weak, those whose measured effect holds, and by |z|."
        ),
    ] = "z"


class PagedFilters(Filters):
    """Filters with a page: one lens and one side, since scores of several are not comparable; a limit and an offset."""

    lens: Annotated[Lens, Field(description="How it is decoded.")] = Lens.cosine
    side: Annotated[Side, Field(description="Among a label's highest or lowest tokens.")] = Side.top
    limit: Limit = 50
    offset: Offset = 0


def find_models(labels: Library, filters: Filters) -> list[ModelSummary]:
    """Find the models to search.

    NotFound for a model or pair that is not mapped; Unprocessable for a model outside the pair, a range of layers that
    is empty, or a view or lens that none of the models has.
    """
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


def conditions(filters: Filters, hit: sa.FromClause) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions on the rows `hit` of one model; agreement is left to `filter_by_agreement`."""
    columns = hit.c
    if filters.side != "any":
        yield equal(columns.side, filters.side)
    if filters.lens != "any":
        yield equal(columns.lens, filters.lens)
    if filters.view != "any":
        yield equal(columns.view, filters.view)
    if filters.layer_min is not None:
        yield columns.layer >= literal(columns.layer, filters.layer_min)
    if filters.layer_max is not None:
        yield columns.layer <= literal(columns.layer, filters.layer_max)
    if filters.min_z is not None:
        side = columns.side if filters.side == "any" else filters.side
        yield outwards(columns.z, side) >= literal(columns.z, filters.min_z)
    if filters.strength:
        yield equal(columns.strength, filters.strength)


def find_counterpart_pair(labels: Library, filters: Filters, model: str) -> Pair | None:
    """Find the pair whose counterparts count for a model: that of the filters, else the model's first, if any."""
    if filters.pair:
        return labels.holdings.pairs[filters.pair]
    return next(iter(labels.holdings.pairs_of(model)), None)


def same_label(drift: sa.Table, hit: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a row of `drift` and a search row are of one label."""
    names = ("view", "lens", "layer", "neuron")
    return sa.and_(*(drift.c[name] == hit.c[name] for name in names), drift.c.expert.is_not_distinct_from(hit.c.expert))


def filter_by_agreement(labels: Library, filters: Filters, model: str) -> sa.FromClause | None:
    """The search rows of a model, joined with their counterparts where the filters ask for agreement.

    None where they do and the model is in no pair: nothing is left then.
    """
    hit = labels.tables(model).label_by_token
    if not filters.agreement:
        return hit
    pair = find_counterpart_pair(labels, filters, model)
    if pair is None:
        return None
    drift = labels.pair_tables(pair).drift
    return hit.join(drift, sa.and_(same_label(drift, hit), equal(drift.c.same_top, filters.agreement == "same")))
