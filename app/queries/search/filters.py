"""The filters of a search, and the conditions on rows of `label_by_token` that follow from them.

The text of a search is no filter: it is known to `app.queries.search.language`.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import sqlalchemy as sa
from pydantic import Field, FiniteFloat

from app.errors import Unprocessable
from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.lookup import check_view, find_model, find_pair
from app.queries.params import Limit, Offset, Question
from app.queries.sql import equal, literal, one_of
from neuronym.contract import Lens, ModelSummary, Side, Strength, View
from neuronym.label_tables import drift, label_by_token, outwards

SearchOrder = Literal["z", "trust", "score", "effect", "layer_z", "neuron"]
hit = label_by_token.c


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


def find_models(labels: LabelFile, filters: Filters) -> list[ModelSummary]:
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


def conditions(labels: LabelFile, filters: Filters, models: Sequence[str]) -> Iterator[sa.ColumnElement[bool]]:
    """The conditions on rows; agreement in the pair of `find_pair_to_join` is left to `filter_by_agreement`."""
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
        yield outwards(hit.z, hit.side if filters.side == "any" else filters.side) >= literal(hit.z, filters.min_z)
    if filters.strength:
        yield equal(hit.strength, filters.strength)
    if filters.agreement and find_pair_to_join(labels, filters, models) is None:
        yield equal(hit.agreement, filters.agreement == "same")


def find_pair_to_join(labels: LabelFile, filters: Filters, models: Sequence[str]) -> Pair | None:
    """Find the pair to join for its agreement; None where rows carry it, as for the first pair of their model."""
    pair = labels.holdings.pairs.get(filters.pair or "")
    if pair is None or all(labels.holdings.pairs_of(name)[0] == pair for name in models):
        return None
    return pair


def filter_by_agreement(rows: sa.CTE, pair: Pair, same_top: bool) -> sa.CTE:
    """Keep the rows whose label has the same top token in both models of `pair`, or with `same_top` False another."""
    same_label = [drift.c[name] == rows.c[name] for name in ("layer", "neuron", "view", "lens")]
    in_pair = sa.and_(equal(drift.c.pair, pair.id), equal(drift.c.same_top, same_top), *same_label)
    return sa.select(rows).join(drift, in_pair).cte("agreeing")
