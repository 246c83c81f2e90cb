"""Reads the labels that hold given tokens from the database: one page of them, and how many there are.

`label_by_token` is sorted by (tokenizer, token, side, z) and carries all that a result shows or is sorted by, so no
table with a row for each neuron is joined before the limit. Every token is its own scan: DuckDB skips rows of a sorted
table by its zone maps for an equality, not for a list of values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from app.labelfile.label_file import LabelFile
from app.queries.ranking import trust
from app.queries.search.filters import PagedFilters, conditions, filter_by_agreement, find_pair_to_join
from app.queries.search.results import (
    LABEL_COLUMNS,
    LABEL_KEY,
    TOKEN_COLUMNS,
    HitRow,
    MatchedLabel,
    read_matched_token,
    search_results,
)
from app.queries.sql import equal, literal, one_of, parameter
from neuronym.contract import SearchResult, Side
from neuronym.label_tables import column_holds, label_by_token, outwards

hit = label_by_token.c
_COLUMNS = [hit[name] for name in (*LABEL_KEY, *TOKEN_COLUMNS, *LABEL_COLUMNS)]
_LIMIT, _OFFSET = (parameter(sa.column(name, sa.Integer), name) for name in ("limit", "offset"))
_GROUP_KEY = ("family", *LABEL_KEY[1:])  # what a page counts once: a label, or the same label in all models of a family


def read_page(
    labels: LabelFile,
    filters: PagedFilters,
    models: Sequence[str],
    tokens: dict[str, list[int]],
    *,
    folded: bool = False,
) -> tuple[int, list[SearchResult]]:
    """Read how many labels of `models` hold one of `tokens` (ids by vocabulary hash), and one page of them.

    `folded` counts the same label in paired models once. A page then has its results in all these models, and is sorted
    by those in models that are the base of no pair.
    """
    if not any(tokens.values()):
        return 0, []
    tokenizers = {hash_: id_ for id_, hash_ in labels.holdings.tokenizers.items()}
    scans = [(tokenizers[hash_], token) for hash_, token_ids in tokens.items() for token in token_ids]
    scanned = [tokenizer for tokenizer, _ in scans]
    statements: PageStatements = labels.statements.get(
        (filters.model_dump_json(exclude=_PARAMETERS), *models, folded, *scanned),
        lambda: _build_statements(labels, filters, models, scanned, folded=folded),
    )
    values = {"limit": filters.limit, "offset": filters.offset}
    values |= {_token_name(place): token for place, (_, token) in enumerate(scans)}
    pair = labels.holdings.pairs[filters.pair] if filters.pair else None
    with labels.connect() as connection:
        rows = connection.execute(statements.page, values).all()
        total: int = rows[0].total if rows else connection.execute(statements.count, values).scalar_one()
        return total, search_results(labels, connection, list(_group_by_label(rows, filters.side)), pair)


@dataclass(frozen=True)
class PageStatements:
    """The statements that read one page of groups, and how many groups there are."""

    page: sa.Select[Any]
    count: sa.Select[Any]


_PARAMETERS = {"q", "limit", "offset"}  # what a kept statement takes as parameters: for `q`, its tokens


def _build_statements(
    labels: LabelFile, filters: PagedFilters, models: Sequence[str], tokenizers: Sequence[int], *, folded: bool
) -> PageStatements:
    """Build the statements for one token of each of these `tokenizers`, with repetitions."""
    row_conditions = list(conditions(labels, filters, models))
    hits = _select_hits(tokenizers, row_conditions, *_family_columns(labels, models if folded else ()))
    if filters.agreement and (pair_to_join := find_pair_to_join(labels, filters, models)):
        hits = filter_by_agreement(hits, pair_to_join, filters.agreement == "same")
    best = _select_best(hits, filters)
    return PageStatements(_select_page(hits, best, filters), _count_groups(best))


def _token_name(place: int) -> str:
    """The name of the parameter for the token of a scan."""
    return f"token_{place}"


def _family_columns(labels: LabelFile, models: Sequence[str]) -> tuple[sa.ColumnElement[int], sa.ColumnElement[bool]]:
    """Two columns: the model that stands for the family of a row's model, and whether the row's model leads the family.

    A family is the models that pairs connect; those that are the base of no pair lead it.
    """
    ids = labels.holdings.model_ids
    heads = {name: head for name, head in labels.holdings.families(models).items() if name != head}
    if not heads:
        return hit.model, sa.true()
    family = sa.case(
        *((equal(hit.model, ids[name]), literal(hit.model, ids[head])) for name, head in heads.items()), else_=hit.model
    )
    return family, ~one_of(hit.model, (ids[name] for name in labels.holdings.bases))


def _select_hits(
    tokenizers: Sequence[int],
    row_conditions: list[sa.ColumnElement[bool]],
    family: sa.ColumnElement[int],
    leads: sa.ColumnElement[bool],
) -> sa.CTE:
    """Select the rows that meet the conditions, of one token of each of these tokenizers."""
    scans = [
        sa.select(*_COLUMNS, family.label("family"), leads.label("leads")).where(
            equal(hit.tokenizer, tokenizer), hit.token == parameter(hit.token, _token_name(place)), *row_conditions
        )
        for place, tokenizer in enumerate(tokenizers)
    ]
    return sa.union_all(*scans).cte("hits")


def _select_best(hits: sa.CTE, filters: PagedFilters) -> sa.Select[Any]:
    """Select one row for each group: its key, and the values of its best match, by which groups are sorted."""
    z, score, effect = (outwards(hits.c[name], filters.side) for name in ("z", "score", "effect"))
    holds = column_holds(hits.c.effect, filters.side)
    best_z = _leading_best(hits, sa.func.max(z))
    sort = {
        "z": best_z,
        "trust": _leading_best(hits, sa.func.arg_max_null(trust(hits.c.strength, holds, hits.c.rank), z)),
        "score": _leading_best(hits, sa.func.max(score)),
        "effect": _leading_best(hits, sa.func.arg_max_null(effect, z)),
        "layer_z": _leading_best(hits, sa.func.max(hits.c.layer_z)),
    }
    key = [hits.c[name] for name in _GROUP_KEY]
    best = sa.select(*key, best_z.label("best_z"), sa.func.count().over().label("total")).group_by(*key)
    return best if filters.sort == "neuron" else best.add_columns(sort[filters.sort].label("sort"))


def _leading_best(hits: sa.CTE, best: sa.Function[Any]) -> sa.ColumnElement[Any]:
    """The best value among models that lead their family; among all models where none of these has a hit."""
    return sa.func.coalesce(best.filter(hits.c.leads), best)


def _order(best: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    """The order of groups: best first and unmeasured last, then by address, so that pages never overlap."""
    key: list[sa.ColumnElement[Any]] = [best.c[name] for name in _GROUP_KEY]
    return [best.c.sort.desc().nulls_last(), best.c.best_z.desc(), *key] if "sort" in best.c else key


def _count_groups(best: sa.Select[Any]) -> sa.Select[int]:
    """Select the number of groups, for a page past the last one, which has no row to carry it."""
    return sa.select(sa.func.count()).select_from(best.subquery())


def _select_page(hits: sa.CTE, best: sa.Select[Any], filters: PagedFilters) -> sa.Select[Any]:
    """Select all matches of the groups of one page, label by label, best match first."""
    groups = best.subquery()
    page = sa.select(groups).order_by(*_order(groups)).limit(_LIMIT).offset(_OFFSET).cte("page")
    same_group = sa.and_(*(page.c[name] == hits.c[name] for name in _GROUP_KEY))
    nearest = outwards(hits.c.z, filters.side).desc()
    return (
        sa.select(hits, page.c.total)
        .join(page, same_group)
        .order_by(*_order(page), hits.c.model, nearest, hits.c.token)
    )


def _group_by_label(rows: Sequence[HitRow], side: Side) -> Iterator[MatchedLabel]:
    """The labels of rows that are in the order of `_select_page`."""
    for _, group in groupby(rows, key=_label_of):
        matches = list(group)
        yield MatchedLabel(matches[0], [read_matched_token(row) for row in matches], side)


_label_of = attrgetter(*LABEL_KEY)
