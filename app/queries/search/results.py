"""From rows of `label_by_token` to results: token ids spelled, counterparts looked up.

Shared by the search and the token page. It knows nothing of how the rows were chosen.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.labelfile.vocabulary import Vocabulary
from app.queries.counterparts import LabelKey, counterparts, label_tokens
from app.queries.lookup import neuron_ref
from neuronym.contract import Counterpart, SearchResult, Side, Token
from neuronym.label_tables import NAMED

KEY = ("model", "layer", "neuron", "view", "lens")  # what makes a result one
SHOWN = ("layer_z", "strength", *(f"top_{place}" for place in range(NAMED)))  # the same in every row of a label
MATCH = ("token", "rank", "score", "z", "effect")  # differs between the tokens of a label

Row = sa.Row[Any]


@dataclass(frozen=True)
class Match:
    """A token of a label that was asked for."""

    token: int
    rank: int
    score: float
    z: float
    effect: float | None


@dataclass(frozen=True)
class Found:
    """A label with those of its tokens that were asked for, best first, and the side they stand on."""

    row: Row
    matches: list[Match]
    side: Side


def read_match(row: Row) -> Match:
    """The token a row is about."""
    return Match(*(row._mapping[name] for name in MATCH))


def results(
    labels: LabelFile, connection: sa.Connection, found: Sequence[Found], pair: Pair | None = None
) -> list[SearchResult]:
    """One result a label; counterparts are those in `pair`, else in the model's first."""
    names = {id_: name for name, id_ in labels.holdings.model_ids.items()}
    keys = [LabelKey(names[one.row.model], *(one.row._mapping[name] for name in KEY[1:])) for one in found]
    there = counterparts(labels, connection, keys, pair)
    under = _bottoms(labels, connection, zip(keys, found, strict=True))
    return [
        _result(labels.vocabulary(key.model), key, one, under.get(key), there.get(key))
        for key, one in zip(keys, found, strict=True)
    ]


def _result(
    vocabulary: Vocabulary, key: LabelKey, found: Found, bottom: list[Token] | None, counterpart: Counterpart | None
) -> SearchResult:
    """A label that was found; `bottom` are its lowest tokens where those were searched."""
    ref, best = neuron_ref(key.model, key.layer, key.index), found.matches[0]
    return SearchResult(
        model=ref.model,
        neuron=ref.neuron,
        layer=ref.layer,
        index=ref.index,
        view=key.view,
        lens=key.lens,
        side=found.side,
        rank=best.rank,
        token_id=best.token,
        token=vocabulary.token(best.token).text,
        score=best.score,
        z=best.z,
        matches=[vocabulary.token(one.token) for one in found.matches[1:]],
        strength=found.row.strength,
        layer_z=found.row.layer_z,
        top_tokens=_top(vocabulary, found.row),
        bottom_tokens=bottom if found.side is Side.bottom else None,
        effect=best.effect,
        counterpart=counterpart,
    )


def _bottoms(
    labels: LabelFile, connection: sa.Connection, found: Iterable[tuple[LabelKey, Found]]
) -> dict[LabelKey, list[Token]]:
    """The tokens at the bottom of those labels that were found there: rows carry the top ones alone."""
    by_model: dict[str, list[LabelKey]] = defaultdict(list)
    for key, one in found:
        if one.side is Side.bottom:
            by_model[key.model].append(key)
    named: dict[LabelKey, list[Token]] = {}
    for model, keys in by_model.items():
        named |= label_tokens(labels, connection, model, keys, Side.bottom)
    return named


def _top(vocabulary: Vocabulary, row: Row) -> list[Token]:
    ids = (row._mapping[f"top_{place}"] for place in range(NAMED))
    return [vocabulary.token(id_) for id_ in ids if id_ is not None]
