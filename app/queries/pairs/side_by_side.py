"""One neuron in both models of a pair, with the tokens it shares, gained and lost, by view and lens."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from app.labelfile.library import Library
from app.labelfile.summary import Pair
from app.queries.lookup import check_neuron
from app.queries.neuron import neuron
from app.queries.pairs.lookup import find_pair_by_models, pair_note
from app.queries.sql import equal
from neuronym.contract import DriftAnswer, LabelAnswer, Lens, RankedToken, SideBySideAnswer, Sides, View
from neuronym.neuron_name import NeuronName

DriftRow = sa.Row[Any]


def side_by_side(labels: Library, base: str, instruct: str, layer: int, index: int) -> SideBySideAnswer:
    """A neuron in both models; errors as in `find_pair_by_models`, and NotFound for a missing neuron."""
    pair = find_pair_by_models(labels, base, instruct)
    check_neuron(labels.models[base], layer, index)
    sides = Sides(base=neuron(labels, base, layer, index), instruct=neuron(labels, instruct, layer, index))
    return SideBySideAnswer(
        run=labels.run,
        pair=pair.name,
        base=pair.base,
        instruct=pair.instruct,
        note=pair_note(labels, pair),
        neuron=str(NeuronName(layer, index)),
        layer=layer,
        index=index,
        views=_views(_read_rows(labels, pair, layer, index), sides),
        sides=sides,
    )


def _read_rows(labels: Library, pair: Pair, layer: int, index: int) -> list[DriftRow]:
    drift = labels.pair_tables(pair).drift
    statement = sa.select(drift).where(equal(drift.c.layer, layer), equal(drift.c.neuron, index))
    with labels.connect() as connection:
        return list(connection.execute(statement.order_by(drift.c.view, drift.c.lens)))


def _views(rows: list[DriftRow], sides: Sides) -> dict[View, dict[Lens, DriftAnswer]]:
    by_view: dict[View, dict[Lens, DriftAnswer]] = {}
    for row in rows:
        both = [side.views.get(row.view, {}).get(row.lens) for side in (sides.base, sides.instruct)]
        if both[0] and both[1]:  # else one was mapped again without it since the two were compared
            by_view.setdefault(row.view, {})[row.lens] = _drift_answer(row, compare_tokens(both[0], both[1]))
    return by_view


class ComparedTokens(NamedTuple):
    """The top tokens of two labels: in both (shared), only in the second (gained), only in the first (lost)."""

    shared: list[RankedToken]
    gained: list[RankedToken]
    lost: list[RankedToken]


def _drift_answer(row: DriftRow, tokens: ComparedTokens) -> DriftAnswer:
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


def compare_tokens(before: LabelAnswer, after: LabelAnswer) -> ComparedTokens:
    """Compare the top tokens of two labels: shared and gained are in the order of `after`, lost in that of `before`."""
    ranks = [{token.token_id: rank for rank, token in enumerate(label.top_tokens)} for label in (before, after)]
    texts = {token.token_id: token.text for token in (*before.top_tokens, *after.top_tokens)}

    def ranked_tokens(ids: list[int]) -> list[RankedToken]:
        return [
            RankedToken(token_id=id_, text=texts[id_], base_rank=ranks[0].get(id_), instruct_rank=ranks[1].get(id_))
            for id_ in ids
        ]

    return ComparedTokens(
        shared=ranked_tokens([id_ for id_ in ranks[1] if id_ in ranks[0]]),
        gained=ranked_tokens([id_ for id_ in ranks[1] if id_ not in ranks[0]]),
        lost=ranked_tokens([id_ for id_ in ranks[0] if id_ not in ranks[1]]),
    )
