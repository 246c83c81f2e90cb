"""Labels that hold given tokens, asked of the database: one page of them, and how many there are.

`label_by_token` is sorted by (tokenizer, token, side, z) and carries all that a result shows or sorts by, so nothing
neuron-sized is joined before the limit. Every token is its own scan: an equality is found by the zone maps of a sorted
table, a list of values is not.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from app.catalog import LabelFile
from app.contract import SearchResult, Side
from app.holdings import Pair
from app.queries.conditions import equal, literal, one_of
from app.queries.filters import Filters
from app.queries.results import KEY, MATCH, SHOWN, Found, Row, read_match, results
from app.schema import drift, label_by_token

hit = label_by_token.c
_COLUMNS = [hit[name] for name in (*KEY, *MATCH, *SHOWN)]
_GROUP = ("family", *KEY[1:])  # what a page counts: a label, or the same label in all models of a family


def read_page(
    labels: LabelFile, filters: Filters, models: Sequence[str], tokens: dict[str, list[int]], *, folded: bool = False
) -> tuple[int, list[SearchResult]]:
    """How many labels of `models` hold one of `tokens` (ids by vocabulary hash), and the page that is asked for.

    `folded` counts the same label in paired models once; a page then has all results of each, one a model, and its
    order is that of the models that are nobody's base.
    """
    if not any(tokens.values()):
        return 0, []
    pair = labels.holdings.pairs[filters.pair] if filters.pair else None
    conditions = list(_conditions(labels, filters, models))
    hits = _hits(labels, tokens, conditions, *_families(labels, models if folded else ()))
    if pair and filters.agreement and not _carried(labels, models, pair):
        hits = _agreeing(hits, pair, filters.agreement == "same")
    best = _best(hits, filters)
    with labels.connect() as connection:
        rows = connection.execute(_page(hits, best, filters)).all()
        total: int = rows[0].total if rows else connection.execute(_count(best)).scalar_one()
        return total, results(labels, connection, list(_by_label(rows, filters.side)), pair)


def _families(labels: LabelFile, models: Sequence[str]) -> tuple[sa.ColumnElement[int], sa.ColumnElement[bool]]:
    """The model that stands for all of these that a row's model is paired with; whether the row's model leads them."""
    ids = labels.holdings.model_ids
    heads = {name: head for name, head in labels.holdings.families(models).items() if name != head}
    if not heads:
        return hit.model, sa.true()
    family = sa.case(
        *((equal(hit.model, ids[name]), literal(hit.model, ids[head])) for name, head in heads.items()), else_=hit.model
    )
    return family, ~one_of(hit.model, (ids[name] for name in labels.holdings.bases))


def _hits(
    labels: LabelFile,
    tokens: dict[str, list[int]],
    conditions: list[sa.ColumnElement[bool]],
    family: sa.ColumnElement[int],
    leads: sa.ColumnElement[bool],
) -> sa.CTE:
    """Every row of these tokens that meets the conditions."""
    ids = {hash_: id_ for id_, hash_ in labels.holdings.tokenizers.items()}
    scans = [
        sa.select(*_COLUMNS, family.label("family"), leads.label("leads")).where(
            equal(hit.tokenizer, ids[hash_]), equal(hit.token, token), *conditions
        )
        for hash_, found in tokens.items()
        for token in found
    ]
    return sa.union_all(*scans).cte("hits")


def _conditions(labels: LabelFile, filters: Filters, models: Sequence[str]) -> Iterator[sa.ColumnElement[bool]]:
    yield equal(hit.side, filters.side)
    yield equal(hit.lens, filters.lens)
    if len(models) < len(labels.models):
        yield one_of(hit.model, (labels.holdings.model_ids[name] for name in models))
    if filters.view != "any":
        yield equal(hit.view, filters.view)
    if filters.layer_min is not None:
        yield hit.layer >= literal(hit.layer, filters.layer_min)
    if filters.layer_max is not None:
        yield hit.layer <= literal(hit.layer, filters.layer_max)
    if filters.min_z is not None:
        least = literal(hit.z, filters.min_z)
        yield hit.z >= least if filters.side is Side.top else hit.z <= -least
    if filters.strength:
        yield equal(hit.strength, filters.strength)
    pair = labels.holdings.pairs.get(filters.pair or "")
    if filters.agreement and _carried(labels, models, pair):
        yield equal(hit.agreement, filters.agreement == "same")


def _carried(labels: LabelFile, models: Sequence[str], pair: Pair | None) -> bool:
    """Whether the rows themselves say if they agree: they do so for the first pair of their model."""
    return pair is None or all(labels.holdings.pairs_of(name)[0] == pair for name in models)


def _agreeing(hits: sa.CTE, pair: Pair, same_top: bool) -> sa.CTE:
    """Hits that agree, or do not, in a pair that is not the first of their model."""
    there = [drift.c[name] == hits.c[name] for name in ("layer", "neuron", "view", "lens")]
    moved = sa.and_(equal(drift.c.pair, pair.id), equal(drift.c.same_top, same_top), *there)
    return sa.select(hits).join(drift, moved).cte("agreeing")


def _best(hits: sa.CTE, filters: Filters) -> sa.Select[Any]:
    """One row a group: its key, its best match's values, by which it is sorted."""
    sign = 1 if filters.side is Side.top else -1
    sort = {
        "z": _led(hits, sa.func.max(sign * hits.c.z)),
        "score": _led(hits, sa.func.max(sign * hits.c.score)),
        "effect": _led(hits, sa.func.arg_max_null(hits.c.effect, sign * hits.c.z)),
        "layer_z": _led(hits, sa.func.max(hits.c.layer_z)),
    }
    key = [hits.c[name] for name in _GROUP]
    best = sa.select(*key, sort["z"].label("best_z"), sa.func.count().over().label("total")).group_by(*key)
    return best if filters.sort == "neuron" else best.add_columns(sort[filters.sort].label("sort"))


def _led(hits: sa.CTE, best: sa.Function[Any]) -> sa.ColumnElement[Any]:
    """The best of the models that lead their family, if they are among the hits."""
    return sa.func.coalesce(best.filter(hits.c.leads), best)


def _order(best: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    """By what was asked, best first and unmeasured last; then by address, so that pages never overlap."""
    key: list[sa.ColumnElement[Any]] = [best.c[name] for name in _GROUP]
    return [best.c.sort.desc().nulls_last(), best.c.best_z.desc(), *key] if "sort" in best.c else key


def _count(best: sa.Select[Any]) -> sa.Select[int]:
    """How many there are when the page asked for lies past the last one."""
    return sa.select(sa.func.count()).select_from(best.subquery())


def _page(hits: sa.CTE, best: sa.Select[Any], filters: Filters) -> sa.Select[Any]:
    """All matches of the groups of one page, label by label, best match first."""
    labels = best.subquery()
    page = sa.select(labels).order_by(*_order(labels)).limit(filters.limit).offset(filters.offset).cte("page")
    same = sa.and_(*(page.c[name] == hits.c[name] for name in _GROUP))
    nearest = hits.c.z.desc() if filters.side is Side.top else hits.c.z
    return sa.select(hits, page.c.total).join(page, same).order_by(*_order(page), hits.c.model, nearest, hits.c.token)


def _by_label(rows: Sequence[Row], side: Side) -> Iterator[Found]:
    for _, group in groupby(rows, key=lambda row: tuple(row._mapping[name] for name in KEY)):
        matches = list(group)
        yield Found(matches[0], [read_match(row) for row in matches], side)
