"""The same neuron in the other model of a pair: how far it moved, and what it is called there.

Asked only for the rows that are shown, by key, after every limit.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.sql import equal
from neuronym.contract import Counterpart, Lens, Side, Token, View
from neuronym.label_tables import NAMED, code, drift, label


@dataclass(frozen=True)
class LabelKey:
    """One label of one neuron."""

    model: str
    layer: int
    index: int
    view: View
    lens: Lens


def counterparts(
    labels: LabelFile, connection: sa.Connection, keys: Iterable[LabelKey], pair: Pair | None = None
) -> dict[LabelKey, Counterpart]:
    """Counterparts in `pair`, else in the first pair of each model; keys without a pair are left out."""
    by_model: dict[str, list[LabelKey]] = defaultdict(list)
    for key in keys:
        by_model[key.model].append(key)
    found: dict[LabelKey, Counterpart] = {}
    for model, asked in by_model.items():
        pairs = [pair] if pair else labels.holdings.pairs_of(model)[:1]
        for one in pairs:
            found |= _in_pair(labels, connection, one, model, asked)
    return found


def label_tokens(
    labels: LabelFile, connection: sa.Connection, model: str, keys: list[LabelKey], side: Side = Side.top
) -> dict[LabelKey, list[Token]]:
    """The first tokens at one side of these labels, all of `model`."""
    if not keys:
        return {}
    vocabulary = labels.vocabulary(model)
    rows = connection.execute(_named(labels.holdings.model_ids[model], keys, label.c[f"{side}_ids"]))
    return {
        LabelKey(model, row.layer, row.neuron, row.view, row.lens): [vocabulary.token(id_) for id_ in row.ids[:NAMED]]
        for row in rows
    }


def _in_pair(
    labels: LabelFile, connection: sa.Connection, pair: Pair, model: str, keys: list[LabelKey]
) -> dict[LabelKey, Counterpart]:
    other = pair.other(model)
    vocabulary = labels.vocabulary(other)
    found = {}
    for row in connection.execute(_moved(pair.id, labels.holdings.model_ids[other], keys)):
        top = [vocabulary.token(id_) for id_ in row.top_ids[:NAMED]]
        key = LabelKey(model, row.layer, row.neuron, row.view, row.lens)
        found[key] = Counterpart(
            model=other, same_top=row.same_top, near_tie=row.near_tie, cosine=row.cosine, top_tokens=top
        )
    return found


def _moved(pair: int, other: int, keys: list[LabelKey]) -> sa.Select[tuple[object, ...]]:
    """Drift and the other model's label, for these keys alone.

    Rows are found by their narrow columns first: lists are read only for those that are shown.
    """
    asked = _asked(keys)
    same = [drift.c[name] == asked.c[name] for name in _PLACE]
    there = [label.c[name] == asked.c[name] for name in _PLACE]
    columns = (
        *(drift.c[name] for name in _PLACE),
        drift.c.cosine,
        drift.c.same_top,
        drift.c.near_tie,
        _ROW.label("row"),
    )
    found = (
        sa.select(*columns)
        .select_from(asked)
        .join(drift, sa.and_(equal(drift.c.pair, pair), *same))
        .join(label, sa.and_(equal(label.c.model, other), *there))
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    return sa.select(found, label.c.top_ids).select_from(found).join(label, found.c.row == _ROW)


def _named(model: int, keys: list[LabelKey], ids: sa.ColumnElement[list[int]]) -> sa.Select[tuple[object, ...]]:
    """The tokens of labels of one model at these places, found by their narrow columns first."""
    asked = _asked(keys)
    there = sa.and_(equal(label.c.model, model), *(label.c[name] == asked.c[name] for name in _PLACE))
    columns = (*(asked.c[name] for name in _PLACE), _ROW.label("row"))
    found = sa.select(*columns).select_from(asked).join(label, there).cte("found").prefix_with("MATERIALIZED")
    return sa.select(found, ids.label("ids")).select_from(found).join(label, found.c.row == _ROW)


def _asked(keys: list[LabelKey]) -> sa.Subquery:
    """The places of these labels as a table: a list a column, which is quicker to compile and parse than rows."""
    places = zip(*((key.layer, key.index, code(key.view), code(key.lens)) for key in keys), strict=True)
    lists = [
        sa.func.unnest(sa.literal_column(str(list(values))), type_=label.c[name].type).label(name)
        for name, values in zip(_PLACE, places, strict=True)
    ]
    return sa.select(*lists).subquery("asked")


_PLACE = ("layer", "neuron", "view", "lens")
_ROW: sa.ColumnClause[int] = sa.literal_column("label.rowid", sa.BigInteger)
