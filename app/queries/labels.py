"""Rows of the table `label` as answers: tokens, figures, and which of a label's two ends names the neuron.

Shared by the questions about a neuron and about a layer.
"""

from math import exp
from typing import Any

import sqlalchemy as sa

from app.labelfile.library import Library
from app.labelfile.vocabulary import VocabularyIndex
from neuronym.contract import LabelAnswer, LabelEnd, LayerThreshold, Lens, ScoredToken, Side, Strength, View

LabelRow = sa.Row[Any]
LabelsByView = dict[View, dict[Lens, LabelAnswer]]


def label_answers(labels: Library, model: str, rows: list[LabelRow]) -> LabelsByView:
    """The labels of one neuron by view and lens."""
    vocabulary, thresholds = labels.vocabulary(model), labels.holdings.thresholds[model]
    by_view: LabelsByView = {}
    for row in sorted(rows, key=lambda row: (list(View).index(row.view), list(Lens).index(row.lens))):
        threshold = thresholds.get((row.view, row.lens, row.layer))
        by_view.setdefault(row.view, {})[row.lens] = _label_answer(row, vocabulary, threshold)
    return by_view


def _label_answer(row: LabelRow, vocabulary: VocabularyIndex, threshold: LayerThreshold | None) -> LabelAnswer:
    has_probability = row.logsumexp is not None and row.top_scores
    named_by = naming_side(row)
    return LabelAnswer(
        top_tokens=scored_tokens(vocabulary, row.top_ids, row.top_scores),
        bottom_tokens=scored_tokens(vocabulary, row.bottom_ids, row.bottom_scores),
        probability=exp(row.top_scores[0] - row.logsumexp) if has_probability else None,
        named_by=named_by,
        ends={
            side: LabelEnd(z=z, strength=row.strength if side is named_by else grade(z, threshold))
            for side, z in end_zs(row).items()
        },
        false_share=threshold.false_share if threshold else None,
        norm=row.norm,
        mean=row.mean,
        std=row.std,
        skew=row.skew,
        kurtosis=row.kurtosis,
        z=row.z,
        margin=row.margin,
        layer_z=row.layer_z,
        strength=row.strength,
        logsumexp=row.logsumexp,
    )


def end_zs(row: LabelRow) -> dict[Side, float]:
    """The z of the first token at each end: its score's distance from the mean score, in standard deviations."""
    bottom = (row.bottom_scores[0] - row.mean) / row.std if row.bottom_scores and row.std > 0 else 0.0
    return {Side.top: row.z, Side.bottom: bottom}


def naming_side(row: LabelRow) -> Side:
    """The end of a label with the larger |z|; the top one where they are equal."""
    zs = end_zs(row)
    return Side.bottom if abs(zs[Side.bottom]) > abs(zs[Side.top]) else Side.top


def grade(z: float, threshold: LayerThreshold | None) -> Strength | None:
    """The strength of a label's end with this z; None where the layer has no control."""
    if threshold is None:
        return None
    if abs(z) > threshold.strong_above:
        return Strength.strong
    return Strength.weak if abs(z) > threshold.weak_above else Strength.noise


def scored_tokens(vocabulary: VocabularyIndex, ids: list[int], scores: list[float]) -> list[ScoredToken]:
    """Token ids with their texts and scores."""
    return [
        ScoredToken(token_id=id_, text=vocabulary.token(id_).text, score=score)
        for id_, score in zip(ids, scores, strict=True)
    ]
