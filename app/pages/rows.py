"""Results of a search as rows of a page: the same label in the models of a pair is one row.

Knows results; the order of rows is that of the answer.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from app import addresses
from app.catalog import LabelFile
from app.contract import SearchResult, Side, Token


class Named(NamedTuple):
    """What the label says in one model; `z` is of its best match, if it has one."""

    model: str
    tokens: list[Token]
    matched: list[int]
    beyond: Token | None  # the best match, where it is not among the first tokens
    rank: int | None
    z: float | None


class Row(NamedTuple):
    """A label in all models that it was found in, and in the counterpart of the first of them where that differs.

    `best` is the best result, but one of a base only where there is no other.
    """

    best: SearchResult
    models: list[str]
    names: list[Named]  # the first is the best; others only where they name other tokens
    compare: str | None


def folded(labels: LabelFile, results: Iterable[SearchResult]) -> list[Row]:
    """Rows for results in which those of one label follow each other."""
    families = labels.holdings.families(labels.models)

    def label(one: SearchResult) -> tuple[object, ...]:
        return families[one.model], one.layer, one.index, one.view, one.lens

    return [_row(labels, list(group)) for _, group in groupby(results, key=label)]


def _row(labels: LabelFile, results: list[SearchResult]) -> Row:
    led = sorted(results, key=lambda one: (one.model in labels.holdings.bases, -abs(one.z)))
    best, models = led[0], [one.model for one in led]
    names = [_named(one) for one in led]
    there = best.counterpart
    if there and there.model not in models and best.side is Side.top:  # its bottom tokens are not told
        names.append(Named(there.model, there.top_tokens, _matched(best), None, None, None))
    differing = [one for one in names[1:] if _differ(_ids(one.tokens), _ids(names[0].tokens))]
    pair = labels.holdings.pair_between(best.model, there.model) if there else None
    compare = addresses.side_by_side(pair.base, pair.instruct, best.layer, best.index) if pair else None
    return Row(best, models, [names[0], *differing], compare)


def _differ(one: list[int], other: list[int]) -> bool:
    """Whether two labels name different tokens; the same tokens in another order do not, but for the first."""
    return one[:1] != other[:1] or set(one) != set(other)


def _named(one: SearchResult) -> Named:
    tokens = one.top_tokens if one.bottom_tokens is None else one.bottom_tokens
    shown = one.token_id in _ids(tokens)
    beyond = None if shown else Token(token_id=one.token_id, text=one.token)
    return Named(one.model, tokens, _matched(one), beyond, one.rank, one.z)


def _matched(one: SearchResult) -> list[int]:
    return [one.token_id, *_ids(one.matches)]


def _ids(tokens: Iterable[Token]) -> list[int]:
    return [token.token_id for token in tokens]
