"""The neurons of one layer, most specialised first."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from pydantic import Field

from app.labelfile.library import Library
from app.labelfile.tables import FileTables
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.labels import end_zs, naming_side, scored_tokens
from app.queries.lookup import check_layer, check_view, find_model, neuron_ref
from app.queries.params import Limit, Offset, Question
from app.queries.ranking import trust
from app.queries.sql import Number, equal
from neuronym.contract import Direction, LayerAnswer, LayerNeuron, Lens, Side, Strength, View
from neuronym.label_tables import NAMED, column_holds, label_place
from neuronym.sites import NATURAL_SITE


class LayerQuery(Question):
    """Under which view and lens a layer is listed, and in which order."""

    view: View = View.up
    lens: Lens = Lens.cosine
    strength: Annotated[Strength | None, Field(description="Of the end of the label that stands further out.")] = None
    sort: Annotated[
        Literal["z", "trust", "layer_z", "margin", "neuron"],
        Field(description="Best first; unmeasured last. `trust` is that of the end that names the neuron."),
    ] = "z"
    limit: Limit = 50
    offset: Offset = 0


def layer(labels: Library, model: str, layer: int, query: LayerQuery) -> LayerAnswer:
    """The neurons of `layer`; NotFound names the models or the range of layers."""
    summary = find_model(labels, model)
    check_layer(summary, layer)
    check_view([summary], query.view, query.lens)
    tables = labels.tables(model)
    conditions = list(_conditions(tables.label, layer, query))
    with labels.connect() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(tables.label).where(*conditions)).scalar_one()
        rows = connection.execute(_select_page(tables, layer, conditions, query)).all()
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
        results=[_layer_neuron(model, row, vocabulary) for row in rows],
    )


def _conditions(label: sa.Table, layer: int, query: LayerQuery) -> Iterator[sa.ColumnElement[bool]]:
    yield equal(label.c.view, query.view)
    yield equal(label.c.lens, query.lens)
    yield equal(label.c.layer, layer)
    if query.strength:
        yield equal(label.c.strength, query.strength)


def _select_page(
    tables: FileTables, layer: int, conditions: list[sa.ColumnElement[bool]], query: LayerQuery
) -> sa.Select[Any]:
    """Select one page. Narrow columns are sorted first: lists are read only for the neurons that are shown."""
    label = tables.label
    narrow = _select_sort_columns(tables, layer, conditions, query).cte("layer").prefix_with("MATERIALIZED")
    page = sa.select(narrow).order_by(*_order(narrow, query)).limit(query.limit).offset(query.offset).cte("page")
    shown = sa.select(label, page.c.effect).join(page, page.c.neuron == label.c.neuron).where(*conditions)
    return shown.order_by(*_order(page, query))


def _select_sort_columns(
    tables: FileTables, layer: int, conditions: list[sa.ColumnElement[bool]], query: LayerQuery
) -> sa.Select[Any]:
    """Select the columns that neurons are sorted by; `effect` is that on the end that names the neuron."""
    label, effect = tables.label, tables.effect
    intervention: dict[str, Number] = {
        "site": NATURAL_SITE[query.view],
        "direction": Direction.high,
        "layer": layer,
    }
    high = (
        sa.select(effect.c.neuron, *(_end_effect(effect, query, side).label(side) for side in Side))
        .where(*(equal(effect.c[name], value) for name, value in intervention.items()))
        .subquery("high")
    )
    bottom_z = (label.c.mean - sa.func.list_extract(label.c.bottom_scores, _FIRST, type_=sa.REAL)) / label.c.std
    named_by_bottom = sa.func.coalesce(sa.and_(label.c.std > _ZERO, bottom_z > label.c.z), sa.false())
    bottom, top = high.c[Side.bottom], high.c[Side.top]
    return (
        sa.select(
            *(label.c[name] for name in ("neuron", "z", "layer_z", "margin", "strength")),
            sa.case((named_by_bottom, bottom_z), else_=label.c.z).label("reach"),
            sa.case((named_by_bottom, bottom), else_=top).label("effect"),
            sa.case((named_by_bottom, column_holds(bottom, Side.bottom)), else_=column_holds(top, Side.top)).label(
                "holds"
            ),
        )
        .select_from(label.outerjoin(high, high.c.neuron == label.c.neuron))
        .where(*conditions)
    )


_FIRST, _ZERO = (sa.literal_column(number, sa.Integer) for number in ("1", "0"))


def _end_effect(effect: sa.Table, query: LayerQuery, side: Side) -> sa.ColumnElement[float]:
    """The measured change of the first token at this end of the label, from the lists of the table `effect`."""
    place = sa.literal_column(str(label_place(query.view, query.lens, side) + 1), sa.Integer)
    return sa.func.list_extract(effect.c.deltas, place, type_=sa.REAL)


def _order(table: sa.FromClause, query: LayerQuery) -> list[sa.ColumnElement[Any]]:
    if query.sort == "neuron":
        return [table.c.neuron]
    if query.sort == "trust":
        return [trust(table.c.strength, table.c.holds).desc(), table.c.reach.desc(), table.c.neuron]
    return [table.c[query.sort].desc().nulls_last(), table.c.neuron]


def _layer_neuron(model: str, row: sa.Row[Any], vocabulary: VocabularyIndex) -> LayerNeuron:
    ref, named_by = neuron_ref(model, row.layer, row.neuron), naming_side(row)
    return LayerNeuron(
        model=ref.model,
        neuron=ref.neuron,
        layer=ref.layer,
        index=ref.index,
        view=row.view,
        lens=row.lens,
        z=row.z,
        layer_z=row.layer_z,
        margin=row.margin,
        strength=row.strength,
        named_by=named_by,
        named_z=end_zs(row)[named_by],
        effect=row.effect,
        top_tokens=scored_tokens(vocabulary, row.top_ids[:NAMED], row.top_scores[:NAMED]),
        bottom_tokens=scored_tokens(vocabulary, row.bottom_ids[:NAMED], row.bottom_scores[:NAMED]),
    )
