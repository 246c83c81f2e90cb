"""The same neuron in the other model of a pair: how far its weights moved, and its label in that model.

All of it lies with the pair, and is read only for rows that are shown, by their row numbers, after every limit.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.labelfile.library import Library
from app.labelfile.summary import Pair
from neuronym.contract import Counterpart, Lens, Role, View
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
