"""The same neuron in the other model of a pair: how far its weights moved, and its label in that model.

Read only for the rows that are shown, by key, after every limit.
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
    """Which label: that of one neuron under one view and lens."""

    model: str
    layer: int
    index: int
    view: View
    lens: Lens


def find_counterparts(
    labels: LabelFile, connection: sa.Connection, keys: Iterable[LabelKey], pair: Pair | None = None
) -> dict[LabelKey, Counterpart]:
    """Find counterparts in `pair`, else in the first pair of each model; keys without a pair are left out."""
    by_model: dict[str, list[LabelKey]] = defaultdict(list)
    for key in keys:
        by_model[key.model].append(key)
    counterparts: dict[LabelKey, Counterpart] = {}
    for model, model_keys in by_model.items():
        pairs = [pair] if pair else labels.holdings.pairs_of(model)[:1]
        for model_pair in pairs:
            counterparts |= _find_in_pair(labels, connection, model_pair, model, model_keys)
    return counterparts


def read_label_tokens(
    labels: LabelFile, connection: sa.Connection, model: str, keys: list[LabelKey], side: Side = Side.top
) -> dict[LabelKey, list[Token]]:
    """Read the first tokens at one side of labels, all of `model`."""
    if not keys:
        return {}
    vocabulary = labels.vocabulary(model)
    rows = connection.execute(_select_tokens(labels.holdings.model_ids[model], keys, label.c[f"{side}_ids"]))
    return {
        LabelKey(model, row.layer, row.neuron, row.view, row.lens): [vocabulary.token(id_) for id_ in row.ids[:NAMED]]
        for row in rows
    }


def _find_in_pair(
    labels: LabelFile, connection: sa.Connection, pair: Pair, model: str, keys: list[LabelKey]
) -> dict[LabelKey, Counterpart]:
    other = pair.other(model)
    vocabulary = labels.vocabulary(other)
    counterparts = {}
    for row in connection.execute(_select_counterparts(pair.id, labels.holdings.model_ids[other], keys)):
        top = [vocabulary.token(id_) for id_ in row.top_ids[:NAMED]]
        key = LabelKey(model, row.layer, row.neuron, row.view, row.lens)
        counterparts[key] = Counterpart(
            model=other, same_top=row.same_top, near_tie=row.near_tie, cosine=row.cosine, top_tokens=top
        )
    return counterparts


def _select_counterparts(pair: int, other: int, keys: list[LabelKey]) -> sa.Select[tuple[object, ...]]:
    """Select the drift and the other model's label for these keys.

    Rows are found by their narrow columns first: lists are read only for those that are shown.
    """
    key_table = _key_table(keys)
    same_drift = [drift.c[name] == key_table.c[name] for name in _KEY_COLUMNS]
    same_label = [label.c[name] == key_table.c[name] for name in _KEY_COLUMNS]
    columns = (
        *(drift.c[name] for name in _KEY_COLUMNS),
        drift.c.cosine,
        drift.c.same_top,
        drift.c.near_tie,
        _ROW_ID.label("row"),
    )
    narrow = (
        sa.select(*columns)
        .select_from(key_table)
        .join(drift, sa.and_(equal(drift.c.pair, pair), *same_drift))
        .join(label, sa.and_(equal(label.c.model, other), *same_label))
        .cte("found")
        .prefix_with("MATERIALIZED")
    )
    return sa.select(narrow, label.c.top_ids).select_from(narrow).join(label, narrow.c.row == _ROW_ID)


def _select_tokens(model: int, keys: list[LabelKey], ids: sa.ColumnElement[list[int]]) -> sa.Select[tuple[object, ...]]:
    """Select the token ids of one model's labels for these keys; rows are found by their narrow columns first."""
    key_table = _key_table(keys)
    same_label = sa.and_(equal(label.c.model, model), *(label.c[name] == key_table.c[name] for name in _KEY_COLUMNS))
    columns = (*(key_table.c[name] for name in _KEY_COLUMNS), _ROW_ID.label("row"))
    narrow = sa.select(*columns).select_from(key_table).join(label, same_label).cte("found").prefix_with("MATERIALIZED")
    return sa.select(narrow, ids.label("ids")).select_from(narrow).join(label, narrow.c.row == _ROW_ID)


def _key_table(keys: list[LabelKey]) -> sa.Subquery:
    """The keys as a table: one list for each column, which is quicker to compile and parse than rows."""
    places = zip(*((key.layer, key.index, code(key.view), code(key.lens)) for key in keys), strict=True)
    lists = [
        sa.func.unnest(sa.literal_column(str(list(values))), type_=label.c[name].type).label(name)
        for name, values in zip(_KEY_COLUMNS, places, strict=True)
    ]
    return sa.select(*lists).subquery("asked")


_KEY_COLUMNS = ("layer", "neuron", "view", "lens")
_ROW_ID: sa.ColumnClause[int] = sa.literal_column("label.rowid", sa.BigInteger)
