"""Rows of `label_by_token` as search results: texts for token ids, and counterparts in the other model of a pair.

Shared by the search and the token page, which choose the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from app.labelfile.library import Library
from app.labelfile.summary import Pair
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.counterparts import LabelKey, find_counterparts
from app.queries.lookup import neuron_ref
from neuronym.contract import Counterpart, SearchResult, Side, Token
from neuronym.label_tables import NAMED

LABEL_KEY = ("model", "layer", "neuron", "view", "lens")  # which label a row belongs to; `model` is its place
FIRST_TOKENS = {side: [f"{side}_{place}" for place in range(NAMED)] for side in Side}  # of the label at each end
LABEL_COLUMNS = ("layer_z", "strength", *FIRST_TOKENS[Side.top])  # equal in all rows of a label
TOKEN_COLUMNS = (
    "token",
    "rank",
    "score",
    "z",
    "effect",
)  # differ between the rows of a label, one for each of its tokens

HitRow = sa.Row[Any]


@dataclass(frozen=True)
class MatchedToken:
    """A token of a label that matches the search."""

    token: int
    rank: int
    score: float
    z: float
    effect: float | None


@dataclass(frozen=True)
class MatchedLabel:
    """A label with its tokens that match the search, best first, and the side they are on."""

    row: HitRow
    matches: list[MatchedToken]
    side: Side


def read_matched_token(row: HitRow) -> MatchedToken:
    """Read the token of a row."""
    return MatchedToken(row.token, row.rank, row.score, row.z, row.effect)


def search_results(
    labels: Library, matched_labels: Sequence[MatchedLabel], pair: Pair | None = None
) -> list[SearchResult]:
    """One result for each label; counterparts are those in `pair`, else in the model's first pair.

    Rows of the lowest end have the columns FIRST_TOKENS of that end, too.
    """
    names = list(labels.models)
    keys = [_label_key(names, matched.row) for matched in matched_labels]
    counterparts = find_counterparts(labels, keys, pair)
    return [
        _search_result(labels.vocabulary(key.model), key, matched, counterparts.get(key))
        for key, matched in zip(keys, matched_labels, strict=True)
    ]


def _label_key(names: Sequence[str], row: HitRow) -> LabelKey:
    return LabelKey(names[row.model], row.layer, row.neuron, row.view, row.lens)


def _search_result(
    vocabulary: VocabularyIndex, key: LabelKey, matched: MatchedLabel, counterpart: Counterpart | None
) -> SearchResult:
    """The result for one label; its lowest tokens are None where the top ones were searched."""
    ref, best = neuron_ref(key.model, key.layer, key.neuron), matched.matches[0]
    return SearchResult(
        model=ref.model,
        neuron=ref.neuron,
        layer=ref.layer,
        index=ref.index,
        view=key.view,
        lens=key.lens,
        side=matched.side,
        rank=best.rank,
        token_id=best.token,
        token=vocabulary.token(best.token).text,
        score=best.score,
        z=best.z,
        matches=[vocabulary.token(other.token) for other in matched.matches[1:]],
        strength=matched.row.strength,
        layer_z=matched.row.layer_z,
        top_tokens=_first_tokens(vocabulary, matched.row, Side.top),
        bottom_tokens=_first_tokens(vocabulary, matched.row, Side.bottom) if matched.side is Side.bottom else None,
        effect=best.effect,
        counterpart=counterpart,
    )


def _first_tokens(vocabulary: VocabularyIndex, row: HitRow, side: Side) -> list[Token]:
    return [vocabulary.token(id_) for id_ in _first_ids[side](row) if id_ is not None]


_first_ids = {side: attrgetter(*names) for side, names in FIRST_TOKENS.items()}
