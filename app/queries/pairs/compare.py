"""How much of a model's labels tuning left as they were: overall, by layer, by strength.

All was counted when the label file was built. This reads small tables; nothing neuron-sized is touched.
"""

from typing import Any, Literal

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.pairs.concepts import strongest
from app.queries.pairs.lookup import find_compared, kept, note_of
from app.queries.sql import equal
from neuronym.contract import (
    Agreement,
    CompareAnswer,
    LayerAgreement,
    Lens,
    PublishedAgreement,
    StrengthAgreement,
    TopConcepts,
    View,
)
from neuronym.label_tables import agreement

PAPER = PublishedAgreement(
    base="Llama 3.1 8B",
    instruct="Llama 3.1 8B Instruct",
    view=View.up,
    lens=Lens.logit,
    agreement=0.754,
    source="Davies, arXiv 2501.02688",
)


def compare(labels: LabelFile, base: str, instruct: str) -> CompareAnswer:
    """What became of the labels between two models; NotFound and Conflict as in `find_compared`."""
    pair = find_compared(labels, base, instruct)
    with labels.connect() as connection:
        measured = overall(connection, pair)
        by_layer = _by_layer(connection, pair)
        by_strength = _by_strength(connection, pair)
        gained, lost = (strongest(labels, connection, pair, direction) for direction in ("gained", "lost"))
    return CompareAnswer(
        run=labels.run,
        pair=pair.name,
        base=pair.base,
        instruct=pair.instruct,
        note=note_of(labels, pair),
        top_k=kept(labels, pair),
        agreement=_by_view(measured),
        overall=measured,
        by_layer=by_layer,
        by_strength=by_strength,
        concepts=TopConcepts(gained=gained, lost=lost),
        paper=PAPER,
    )


def overall(connection: sa.Connection, pair: Pair) -> list[Agreement]:
    """The measures over all neurons, by view and lens."""
    return [
        Agreement(
            view=row.view,
            lens=row.lens,
            neurons=row.neurons,
            agreement=row.agreement,
            near_ties=row.near_ties,
            mean_cosine=row.mean_cosine,
            mean_overlap=row.mean_overlap,
        )
        for row in _rows(connection, pair, None)
    ]


def _by_layer(connection: sa.Connection, pair: Pair) -> list[LayerAgreement]:
    return [
        LayerAgreement(
            layer=row.layer,
            view=row.view,
            lens=row.lens,
            neurons=row.neurons,
            agreement=row.agreement,
            near_ties=row.near_ties,
            mean_cosine=row.mean_cosine,
            mean_overlap=row.mean_overlap,
        )
        for row in _rows(connection, pair, "layer")
    ]


def _by_strength(connection: sa.Connection, pair: Pair) -> list[StrengthAgreement]:
    return [
        StrengthAgreement(
            strength=row.strength,
            view=row.view,
            lens=row.lens,
            neurons=row.neurons,
            agreement=row.agreement,
            near_ties=row.near_ties,
            mean_cosine=row.mean_cosine,
            mean_overlap=row.mean_overlap,
        )
        for row in _rows(connection, pair, "strength")
    ]


def _rows(connection: sa.Connection, pair: Pair, grouped_by: Literal["layer", "strength"] | None) -> list[sa.Row[Any]]:
    """The rows of one grouping, in the order of group, view and lens."""
    columns = agreement.c
    groups = [columns[name] for name in ("layer", "strength")]
    found = (
        sa.select(agreement)
        .where(equal(columns.pair, pair.id))
        .where(*(group.is_not(None) if group.name == grouped_by else group.is_(None) for group in groups))
        .order_by(*groups, columns.view, columns.lens)
    )
    return list(connection.execute(found))


def _by_view(measured: list[Agreement]) -> dict[View, dict[Lens, float]]:
    shares: dict[View, dict[Lens, float]] = {}
    for one in measured:
        shares.setdefault(one.view, {})[one.lens] = one.agreement
    return shares
