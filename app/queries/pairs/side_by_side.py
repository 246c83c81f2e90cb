"""One neuron in both models of a pair, with the tokens it shares, gained and lost, by view and lens."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.lookup import find_neuron
from app.queries.neuron import neuron
from app.queries.pairs.lookup import find_compared, note_of
from app.queries.sql import equal
from neuronym.contract import DriftAnswer, LabelAnswer, Lens, RankedToken, SideBySideAnswer, Sides, View
from neuronym.label_tables import drift
from neuronym.neuron_name import NeuronName

Row = sa.Row[Any]


def side_by_side(labels: LabelFile, base: str, instruct: str, layer: int, index: int) -> SideBySideAnswer:
    """Both sides of a neuron; NotFound and Conflict as in `find_compared`, NotFound for a missing neuron."""
    pair = find_compared(labels, base, instruct)
    find_neuron(labels.models[base], layer, index)
    sides = Sides(base=neuron(labels, base, layer, index), instruct=neuron(labels, instruct, layer, index))
    return SideBySideAnswer(
        run=labels.run,
        pair=pair.name,
        base=pair.base,
        instruct=pair.instruct,
        note=note_of(labels, pair),
        neuron=str(NeuronName(layer, index)),
        layer=layer,
        index=index,
        views=_views(_rows(labels, pair, layer, index), sides),
        sides=sides,
    )


def _rows(labels: LabelFile, pair: Pair, layer: int, index: int) -> list[Row]:
    here = (("pair", pair.id), ("layer", layer), ("neuron", index))
    found = sa.select(drift).where(*(equal(drift.c[name], value) for name, value in here))
    with labels.connect() as connection:
        return list(connection.execute(found.order_by(drift.c.view, drift.c.lens)))


def _views(rows: list[Row], sides: Sides) -> dict[View, dict[Lens, DriftAnswer]]:
    by_view: dict[View, dict[Lens, DriftAnswer]] = {}
    for row in rows:
        before, after = (side.views[row.view][row.lens] for side in (sides.base, sides.instruct))
        by_view.setdefault(row.view, {})[row.lens] = _drift(row, compared_tokens(before, after))
    return by_view


class ComparedTokens(NamedTuple):
    """The top tokens of two labels: in both, in the second alone, in the first alone."""

    shared: list[RankedToken]
    gained: list[RankedToken]
    lost: list[RankedToken]


def _drift(row: Row, tokens: ComparedTokens) -> DriftAnswer:
    return DriftAnswer(
        cosine=row.cosine,
        same_top=row.same_top,
        near_tie=row.near_tie,
        overlap=row.overlap,
        base_margin=row.base_margin,
        instruct_margin=row.instruct_margin,
        base_rank=row.base_rank,
        instruct_rank=row.instruct_rank,
        shared=tokens.shared,
        gained=tokens.gained,
        lost=tokens.lost,
    )


def compared_tokens(before: LabelAnswer, after: LabelAnswer) -> ComparedTokens:
    """The top tokens of two labels: shared and gained in the order of the second, lost in the order of the first."""
    ranks = [{token.token_id: rank for rank, token in enumerate(label.top_tokens)} for label in (before, after)]
    texts = {token.token_id: token.text for token in (*before.top_tokens, *after.top_tokens)}

    def ranked(ids: list[int]) -> list[RankedToken]:
        return [
            RankedToken(token_id=id_, text=texts[id_], base_rank=ranks[0].get(id_), instruct_rank=ranks[1].get(id_))
            for id_ in ids
        ]

    return ComparedTokens(
        shared=ranked([id_ for id_ in ranks[1] if id_ in ranks[0]]),
        gained=ranked([id_ for id_ in ranks[1] if id_ not in ranks[0]]),
        lost=ranked([id_ for id_ in ranks[0] if id_ not in ranks[1]]),
    )
