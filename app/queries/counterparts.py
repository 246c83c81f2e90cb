"""The same neuron in the other model of a pair: how far its weights moved, and its label in that model.

All of it lies with the pair, and is read only for rows that are shown, by their row numbers, after every limit.
"""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.labelfile.library import Library
from app.labelfile.row_numbers import select_by_number
from app.labelfile.summary import Pair
from neuronym.contract import Counterpart, Lens, Role, Side, Token, View
from neuronym.label_tables import NAMED


class LabelKey(NamedTuple):
    """Which label: that of one neuron under one view and lens."""

    model: str
    layer: int
    neuron: int
    view: View
    lens: Lens


def find_counterparts(
    labels: Library, keys: Iterable[LabelKey], pair: Pair | None = None
) -> dict[LabelKey, Counterpart]:
    """Find counterparts in `pair`, else in the first pair of each model; keys without a pair are left out."""
    first_pairs = {name: pair or next(iter(labels.holdings.pairs_of(name)), None) for name in labels.models}
    paired = ((key, first_pairs[key.model]) for key in keys)
    found = ((key, _find_in_pair(labels, in_pair, key)) for key, in_pair in paired if in_pair)
    return {key: counterpart for key, counterpart in found if counterpart}


def _find_in_pair(labels: Library, pair: Pair, key: LabelKey) -> Counterpart | None:
    """Find the counterpart of a label of either model of a pair; None where the pair has not this label."""
    row = labels.row_numbers(labels.pair_tables(pair).drift).find((key.view, key.lens, key.layer, None), key.neuron)
    if row is None:
        return None
    record, other = labels.counterparts(pair).read(row), pair.other(key.model)
    vocabulary = labels.vocabulary(pair.base)
    return Counterpart(
        model=other,
        same_top=record.same_top,
        near_tie=record.near_tie,
        cosine=record.cosine,
        top_tokens=[vocabulary.token(id_) for id_ in record.tokens[pair.role(other)]],
    )


def first_tokens(row: sa.Row[Any], role: Role) -> list[int]:
    """The ids of the first top tokens of a label in one model of a pair, from a row of `drift`."""
    return [id_ for id_ in _first_ids[role](row) if id_ is not None]


_first_ids = {role: attrgetter(*(f"{role}_{place}" for place in range(NAMED))) for role in Role}


def read_bottom_tokens(
    labels: Library, connection: sa.Connection, keys: Iterable[LabelKey]
) -> dict[LabelKey, list[Token]]:
    """Read the first of the lowest tokens of labels."""
    found: dict[LabelKey, list[Token]] = {}
    for model, group in groupby(sorted(keys), key=lambda key: key.model):
        label, vocabulary = labels.tables(model).label, labels.vocabulary(model)
        rows = _read_rows(labels, connection, label, group, [label.c[f"{Side.bottom}_ids"].label("ids")])
        found |= {key: [vocabulary.token(id_) for id_ in row.ids[:NAMED]] for key, row in rows.items()}
    return found


def _read_rows(
    labels: Library,
    connection: sa.Connection,
    table: sa.Table,
    keys: Iterable[LabelKey],
    columns: list[sa.ColumnElement[Any]],
) -> dict[LabelKey, sa.Row[Any]]:
    """Read columns of the rows of one file's table that have these labels; keys without a row are left out."""
    numbers = labels.row_numbers(table)
    found = {key: numbers.find((key.view, key.lens, key.layer, None), key.neuron) for key in keys}
    asked = sorted({number for number in found.values() if number is not None})
    if not asked:
        return {}
    statement = labels.statements.get((table.fullname, "by number"), lambda: select_by_number(table, *columns))
    rows = {row.number: row for row in connection.execute(statement, {"numbers": asked})}
    return {key: rows[number] for key, number in found.items() if number is not None}
