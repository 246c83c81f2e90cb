"""What clamping a neuron did to the tokens its labels name. Knows rows of `effect`."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import sqlalchemy as sa

from app.contract import Direction, EffectAnswer, LabelEffect, Lens, ModelSummary, Side, Site, View
from app.schema import label_place
from app.vocabulary import Vocabulary

Row = sa.Row[Any]

VIEW_OF_SITE = {Site.up: View.up, Site.gate: View.gate, Site.act: View.down}  # whose label a clamp is measured by


def effect_answers(
    rows: list[Row], model: ModelSummary, vocabulary: Vocabulary
) -> dict[Site, dict[Direction, EffectAnswer]] | None:
    """The effects of one neuron by site and direction; None if none was measured."""
    by_site: dict[Site, dict[Direction, EffectAnswer]] = {}
    for row in sorted(rows, key=lambda row: (list(Site).index(row.site), list(Direction).index(row.direction))):
        by_site.setdefault(row.site, {})[row.direction] = _answer(row, model, vocabulary)
    return by_site or None


def _answer(row: Row, model: ModelSummary, vocabulary: Vocabulary) -> EffectAnswer:
    place = _place(model, row.site)
    return EffectAnswer(
        value=row.value,
        token=vocabulary.token(row.tokens[place]),
        delta=row.deltas[place],
        control=row.controls[place],
        rank=row.ranks[place],
        kl=row.kl,
        moved=vocabulary.token(row.moved),
        moved_delta=row.moved_delta,
        labels=list(_labels(row, vocabulary)),
    )


def _labels(row: Row, vocabulary: Vocabulary) -> Iterator[LabelEffect]:
    """Both ends of every label that the model has."""
    for view, lens, side in product(View, Lens, Side):
        place = label_place(view, lens, side)
        if place < len(row.tokens) and row.tokens[place] >= 0:
            yield LabelEffect(
                view=view,
                lens=lens,
                side=side,
                token=vocabulary.token(row.tokens[place]),
                delta=row.deltas[place],
                control=row.controls[place],
                rank=row.ranks[place],
            )


def _place(model: ModelSummary, site: Site) -> int:
    """Where an effect's lists hold the label of the site's own view; cosine where the model has it."""
    view = VIEW_OF_SITE[site] if VIEW_OF_SITE[site] in model.views else model.views[0]
    return label_place(view, Lens.cosine if Lens.cosine in model.lenses else model.lenses[0])
