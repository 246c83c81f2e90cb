"""Rows of `label_by_token` as search results: texts for token ids, and counterparts in the other model of a pair.

Shared by the search and the token page, which choose the rows.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.counterparts import LabelKey, find_counterparts, read_label_tokens
from app.queries.lookup import neuron_ref
from neuronym.contract import Counterpart, SearchResult, Side, Token
from neuronym.label_tables import NAMED

LABEL_KEY = ("model", "layer", "neuron", "view", "lens")  # which label a row belongs to
LABEL_COLUMNS = ("layer_z", "strength", *(f"top_{place}" for place in range(NAMED)))  # equal in all rows of a label
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
    return MatchedToken(*(row._mapping[name] for name in TOKEN_COLUMNS))


def search_results(
    labels: LabelFile, connection: sa.Connection, matched_labels: Sequence[MatchedLabel], pair: Pair | None = None
) -> list[SearchResult]:
    """One result for each label; counterparts are those in `pair`, else in the model's first pair."""
    names = {id_: name for name, id_ in labels.holdings.model_ids.items()}
    keys = [
        LabelKey(names[matched.row.model], *(matched.row._mapping[name] for name in LABEL_KEY[1:]))
        for matched in matched_labels
    ]
    counterparts = find_counterparts(labels, connection, keys, pair)
    bottom_tokens = _read_bottom_tokens(labels, connection, zip(keys, matched_labels, strict=True))
    return [
        _search_result(labels.vocabulary(key.model), key, matched, bottom_tokens.get(key), counterparts.get(key))
        for key, matched in zip(keys, matched_labels, strict=True)
    ]


def _search_result(
    vocabulary: VocabularyIndex,
    key: LabelKey,
    matched: MatchedLabel,
    bottom_tokens: list[Token] | None,
    counterpart: Counterpart | None,
) -> SearchResult:
    """The result for one label; `bottom_tokens` are None where the top ones were searched."""
    ref, best = neuron_ref(key.model, key.layer, key.index), matched.matches[0]
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
        top_tokens=_top_tokens(vocabulary, matched.row),
        bottom_tokens=bottom_tokens if matched.side is Side.bottom else None,
        effect=best.effect,
        counterpart=counterpart,
    )


def _read_bottom_tokens(
    labels: LabelFile, connection: sa.Connection, matched_labels: Iterable[tuple[LabelKey, MatchedLabel]]
) -> dict[LabelKey, list[Token]]:
    """Read the bottom tokens of labels whose bottom was searched: rows carry only the top tokens."""
    by_model: dict[str, list[LabelKey]] = defaultdict(list)
    for key, matched in matched_labels:
        if matched.side is Side.bottom:
            by_model[key.model].append(key)
    bottom_tokens: dict[LabelKey, list[Token]] = {}
    for model, keys in by_model.items():
        bottom_tokens |= read_label_tokens(labels, connection, model, keys, Side.bottom)
    return bottom_tokens


def _top_tokens(vocabulary: VocabularyIndex, row: HitRow) -> list[Token]:
    ids = (row._mapping[f"top_{place}"] for place in range(NAMED))
    return [vocabulary.token(id_) for id_ in ids if id_ is not None]
