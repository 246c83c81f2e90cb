"""Labels that hold given tokens, asked of the database: one page of them, and how many there are.

`label_by_token` is sorted by (tokenizer, token, side, z) and carries all that a result shows or sorts by, so nothing
neuron-sized is joined before the limit. Every token is its own scan: an equality is found by the zone maps of a sorted
table, a list of values is not.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.queries.ranking import trust
from app.queries.search.filters import Listed, agreeing, conditions, elsewhere
from app.queries.search.results import KEY, MATCH, SHOWN, Found, Row, read_match, results
from app.queries.sql import equal, literal, one_of
from neuronym.contract import SearchResult, Side
from neuronym.label_tables import column_holds, label_by_token, outwards

hit = label_by_token.c
_COLUMNS = [hit[name] for name in (*KEY, *MATCH, *SHOWN)]
_GROUP = ("family", *KEY[1:])  # what a page counts: a label, or the same label in all models of a family


def read_page(
    labels: LabelFile, filters: Listed, models: Sequence[str], tokens: dict[str, list[int]], *, folded: bool = False
) -> tuple[int, list[SearchResult]]:
    """How many labels of `models` hold one of `tokens` (ids by vocabulary hash), and the page that is asked for.

    `folded` counts the same label in paired models once; a page then has all results of each, one a model, and its
    order is that of the models that are nobody's base.
    """
    if not any(tokens.values()):
        return 0, []
    pair = labels.holdings.pairs[filters.pair] if filters.pair else None
    chosen = list(conditions(labels, filters, models))
    hits = _hits(labels, tokens, chosen, *_families(labels, models if folded else ()))
    if filters.agreement and (judge := elsewhere(labels, filters, models)):
        hits = agreeing(hits, judge, filters.agreement == "same")
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
    chosen: list[sa.ColumnElement[bool]],
    family: sa.ColumnElement[int],
    leads: sa.ColumnElement[bool],
) -> sa.CTE:
    """Every row of these tokens that meets the conditions."""
    ids = {hash_: id_ for id_, hash_ in labels.holdings.tokenizers.items()}
    scans = [
        sa.select(*_COLUMNS, family.label("family"), leads.label("leads")).where(
            equal(hit.tokenizer, ids[hash_]), equal(hit.token, token), *chosen
        )
        for hash_, found in tokens.items()
        for token in found
    ]
    return sa.union_all(*scans).cte("hits")


def _best(hits: sa.CTE, filters: Listed) -> sa.Select[Any]:
    """One row a group: its key, its best match's values, by which it is sorted."""
    z, score, effect = (outwards(hits.c[name], filters.side) for name in ("z", "score", "effect"))
    holds = column_holds(hits.c.effect, filters.side)
    best_z = _led(hits, sa.func.max(z))
    sort = {
        "z": best_z,
        "trust": _led(hits, sa.func.arg_max_null(trust(hits.c.strength, holds, hits.c.rank), z)),
        "score": _led(hits, sa.func.max(score)),
        "effect": _led(hits, sa.func.arg_max_null(effect, z)),
        "layer_z": _led(hits, sa.func.max(hits.c.layer_z)),
    }
    key = [hits.c[name] for name in _GROUP]
    best = sa.select(*key, best_z.label("best_z"), sa.func.count().over().label("total")).group_by(*key)
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


def _page(hits: sa.CTE, best: sa.Select[Any], filters: Listed) -> sa.Select[Any]:
    """All matches of the groups of one page, label by label, best match first."""
    labels = best.subquery()
    page = sa.select(labels).order_by(*_order(labels)).limit(filters.limit).offset(filters.offset).cte("page")
    same = sa.and_(*(page.c[name] == hits.c[name] for name in _GROUP))
    nearest = outwards(hits.c.z, filters.side).desc()
    return sa.select(hits, page.c.total).join(page, same).order_by(*_order(page), hits.c.model, nearest, hits.c.token)


def _by_label(rows: Sequence[Row], side: Side) -> Iterator[Found]:
    for _, group in groupby(rows, key=lambda row: tuple(row._mapping[name] for name in KEY)):
        matches = list(group)
        yield Found(matches[0], [read_match(row) for row in matches], side)
