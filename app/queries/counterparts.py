"""The same neuron in the other model of a pair: how far its weights moved, and its label in that model.

Read only for the rows that are shown, by their row numbers, after every limit.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.labelfile.row_numbers import select_by_number
from app.labelfile.summary import Pair
from neuronym.contract import Counterpart, Lens, Side, Token, View
from neuronym.label_tables import NAMED, drift, label

TokensByLabel = Mapping["LabelKey", list[Token]]


class LabelKey(NamedTuple):
    """Which label: that of one neuron under one view and lens."""

    model: str
    layer: int
    neuron: int
    view: View
    lens: Lens


def find_counterparts(
    labels: LabelFile,
    connection: sa.Connection,
    keys: Iterable[LabelKey],
    pair: Pair | None = None,
    known: TokensByLabel | None = None,
) -> dict[LabelKey, Counterpart]:
    """Find counterparts in `pair`, else in the first pair of each model; keys without a pair are left out.

    `known` are the first top tokens of labels that were read before: often a page has both labels of a pair.
    """
    pairs = {name: pair or next(iter(labels.holdings.pairs_of(name)), None) for name in labels.models}
    paired = {key: paired for key in keys if (paired := pairs[key.model])}
    drifts = _read_drifts(labels, connection, paired)
    others = {key: key._replace(model=paired[key].other(key.model)) for key in drifts}
    known = known or {}
    tokens = {**known, **read_label_tokens(labels, connection, set(others.values()) - known.keys())}
    return {
        key: Counterpart(
            model=other.model,
            same_top=drifts[key].same_top,
            near_tie=drifts[key].near_tie,
            cosine=drifts[key].cosine,
            top_tokens=tokens[other],
        )
        for key, other in others.items()
        if other in tokens
    }


def read_label_tokens(
    labels: LabelFile, connection: sa.Connection, keys: Iterable[LabelKey], side: Side = Side.top
) -> dict[LabelKey, list[Token]]:
    """Read the first tokens at one side of labels."""
    ids, numbers = labels.holdings.model_ids, labels.row_numbers(label)
    found = {key: numbers.find((ids[key.model], key.view, key.lens, key.layer), key.neuron) for key in keys}
    rows = _read_rows(connection, _TOKENS[side], found)
    return {key: [labels.vocabulary(key.model).token(id_) for id_ in row.ids[:NAMED]] for key, row in rows.items()}


def _read_drifts(
    labels: LabelFile, connection: sa.Connection, pairs: Mapping[LabelKey, Pair]
) -> dict[LabelKey, sa.Row[Any]]:
    """Read how far each label moved in its pair."""
    numbers = labels.row_numbers(drift)
    found = {key: numbers.find((pair.id, key.view, key.lens, key.layer), key.neuron) for key, pair in pairs.items()}
    return _read_rows(connection, _DRIFTS, found)


def _read_rows(
    connection: sa.Connection, statement: sa.Select[Any], numbers: Mapping[LabelKey, int | None]
) -> dict[LabelKey, sa.Row[Any]]:
    """Read the rows with these numbers; keys without one are left out."""
    asked: Collection[int] = {number for number in numbers.values() if number is not None}
    if not asked:
        return {}
    rows = {row.number: row for row in connection.execute(statement, {"numbers": sorted(asked)})}
    return {key: rows[number] for key, number in numbers.items() if number is not None}


_DRIFTS = select_by_number(drift, drift.c.cosine, drift.c.same_top, drift.c.near_tie)
_TOKENS = {side: select_by_number(label, label.c[f"{side}_ids"].label("ids")) for side in Side}
