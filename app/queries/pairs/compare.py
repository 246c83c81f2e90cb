"""How many of a model's labels tuning left unchanged: overall, by layer, by strength.

The counts were made when the pair was mapped: only small tables are read, none with a row for each neuron.
"""

from typing import Any, Literal

import sqlalchemy as sa

from app.labelfile.library import Library
from app.queries.pairs.concepts import largest_changes
from app.queries.pairs.lookup import count_top_tokens, find_pair_by_models, pair_note
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

PAPER = PublishedAgreement(
    base="Llama 3.1 8B",
    instruct="Llama 3.1 8B Instruct",
    view=View.up,
    lens=Lens.logit,
    agreement=0.754,
    source="Davies, arXiv 2501.02688",
)


def compare(labels: Library, base: str, instruct: str) -> CompareAnswer:
    """The agreement of two models' labels, and the concepts gained and lost; errors as in `find_pair_by_models`."""
    pair = find_pair_by_models(labels, base, instruct)
    with labels.connect() as connection:
        agreement = labels.pair_tables(pair).agreement
        overall = overall_agreement(connection, agreement)
        by_layer = _layer_agreement(connection, agreement)
        by_strength = _strength_agreement(connection, agreement)
        gained, lost = (largest_changes(labels, connection, pair, direction) for direction in ("gained", "lost"))
    return CompareAnswer(
        run=labels.run,
        pair=pair.name,
        base=pair.base,
        instruct=pair.instruct,
        note=pair_note(labels, pair),
        top_k=count_top_tokens(labels, pair),
        agreement=_shares_by_view(overall),
        overall=overall,
        by_layer=by_layer,
        by_strength=by_strength,
        concepts=TopConcepts(gained=gained, lost=lost),
        paper=PAPER,
    )


def overall_agreement(connection: sa.Connection, agreement: sa.Table) -> list[Agreement]:
    """The agreement over all neurons, by view and lens."""
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
        for row in _read_rows(connection, agreement, None)
    ]


def _layer_agreement(connection: sa.Connection, agreement: sa.Table) -> list[LayerAgreement]:
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
        for row in _read_rows(connection, agreement, "layer")
    ]


def _strength_agreement(connection: sa.Connection, agreement: sa.Table) -> list[StrengthAgreement]:
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
        for row in _read_rows(connection, agreement, "strength")
    ]


def _read_rows(
    connection: sa.Connection, agreement: sa.Table, grouped_by: Literal["layer", "strength"] | None
) -> list[sa.Row[Any]]:
    """Read the rows of one grouping (None: over all neurons), in the order of group, view and lens."""
    columns = agreement.c
    groups = [columns[name] for name in ("layer", "strength")]
    statement = (
        sa.select(agreement)
        .where(*(group.is_not(None) if group.name == grouped_by else group.is_(None) for group in groups))
        .order_by(*groups, columns.view, columns.lens)
    )
    return list(connection.execute(statement))


def _shares_by_view(agreements: list[Agreement]) -> dict[View, dict[Lens, float]]:
    shares: dict[View, dict[Lens, float]] = {}
    for figures in agreements:
        shares.setdefault(figures.view, {})[figures.lens] = figures.agreement
    return shares
