"""Reads the labels that hold given tokens from the database: one page of them, and how many there are.

Each model's `label_by_token` is sorted by (side, place of the token in the alphabet, z) and carries all that a result
shows or is sorted by, so no table with a row for each neuron is joined before the limit, but for a filter by agreement.
Every model is one scan for all tokens: DuckDB skips the rows of a sorted table whose zone maps hold none of a list of
values, and two hundred scans of one token each take five times as long.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from app.labelfile.library import Library
from app.queries.ranking import trust
from app.queries.search.filters import PagedFilters, conditions, filter_by_agreement
from app.queries.search.results import (
    FIRST_TOKENS,
    LABEL_COLUMNS,
    LABEL_KEY,
    TOKEN_COLUMNS,
    HitRow,
    MatchedLabel,
    read_matched_token,
    search_results,
)
from app.queries.sql import parameter, parameters
from neuronym.contract import SearchResult, Side
from neuronym.label_tables import column_holds, outwards

_COLUMNS = {
    Side.top: (*LABEL_KEY[1:], *TOKEN_COLUMNS, *LABEL_COLUMNS),
    Side.bottom: (*LABEL_KEY[1:], *TOKEN_COLUMNS, *LABEL_COLUMNS, *FIRST_TOKENS[Side.bottom]),
}
_LEAD, _HALF_LEAD, _NO_LEAD = (sa.literal_column(number, sa.Double) for number in ("1e4", "5e3", "0e0"))  # above any z
_LIMIT, _OFFSET = (parameter(sa.column(name, sa.Integer), name) for name in ("limit", "offset"))
_GROUP_KEY = ("family", *LABEL_KEY[1:])  # what a page counts once: a label, or the same label in all models of a family


def read_page(
    labels: Library,
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
    scanned = [model for model in models if tokens.get(labels.models[model].tokenizer)]
    statements: PageStatements = labels.statements.get(
        (filters.model_dump_json(exclude=_PARAMETERS), folded, *scanned),
        lambda: _build_statements(labels, filters, scanned, folded=folded),
    )
    values: dict[str, int | list[int]] = {"limit": filters.limit, "offset": filters.offset}
    for hash_, vocabulary in labels.vocabularies(scanned).items():
        values[_places_name(hash_)] = vocabulary.places(tokens[hash_])
    pair = labels.holdings.pairs[filters.pair] if filters.pair else None
    with labels.connect() as connection:
        rows = connection.execute(statements.page, values).all()
        total: int = rows[0].total if rows else connection.execute(statements.count, values).scalar_one()
        return total, search_results(labels, list(_group_by_label(rows, filters.side)), pair)


@dataclass(frozen=True)
class PageStatements:
    """The statements that read one page of groups, and how many groups there are."""

    page: sa.Select[Any]
    count: sa.Select[Any]


_PARAMETERS = {"q", "limit", "offset"}  # what a kept statement takes as parameters: for `q`, its tokens


def _build_statements(
    labels: Library,
    filters: PagedFilters,
    models: Sequence[str],
    *,
    folded: bool,
) -> PageStatements:
    """Build the statements for the tokens of these models."""
    families = labels.holdings.families(models) if folded else {}
    hits = _select_hits(labels, filters, models, families)
    best = _select_best(hits, filters, of_leaders=bool(families))
    return PageStatements(_select_page(hits, best, filters), _count_groups(best))


def _places_name(tokenizer: str) -> str:
    """The name of the parameter for the places of tokens in a vocabulary."""
    return f"places_{tokenizer}"


def _select_hits(labels: Library, filters: PagedFilters, models: Sequence[str], families: Mapping[str, str]) -> sa.CTE:
    """Select the rows that meet the filters, of each model.

    Three columns are made for each row: the place of its model; that of the model that stands for its family, which
    are the models that pairs connect; and whether its model leads the family, as the base of no pair does.
    """
    places = {name: place for place, name in enumerate(labels.models)}
    bases = labels.holdings.bases
    selected = []
    for model in models:
        hit = labels.tables(model).label_by_token
        rows = filter_by_agreement(labels, filters, model)
        places_of_tokens = parameters(hit.c.place, _places_name(labels.models[model].tokenizer))
        own = [
            sa.literal_column(str(places[model]), sa.SmallInteger).label("model"),
            sa.literal_column(str(places[families.get(model, model)]), sa.SmallInteger).label("family"),
            (sa.false() if families and model in bases else sa.true()).label("leads"),
        ]
        select = sa.select(*(hit.c[name] for name in _COLUMNS[filters.side]), *own).where(
            hit.c.place.in_(places_of_tokens), *conditions(filters, hit)
        )
        selected.append(select.where(sa.false()) if rows is None else select.select_from(rows))
    return sa.union_all(*selected).cte("hits")


def _select_best(hits: sa.CTE, filters: PagedFilters, *, of_leaders: bool) -> sa.Select[Any]:
    """Select one row for each group: its key, and the values of its best match, by which groups are sorted.

    `of_leaders`: matches in models that lead their family count, and others where these have none.
    """
    z, score, effect = (outwards(hits.c[name], filters.side) for name in ("z", "score", "effect"))
    holds = column_holds(hits.c.effect, filters.side)

    def best_match(best: sa.Function[Any]) -> sa.ColumnElement[Any]:
        return sa.func.coalesce(best.filter(hits.c.leads), best) if of_leaders else best

    # In place of four aggregates, which take half the time of a long prefix: with the lead added, leaders' are first.
    leading_z = sa.cast(z, sa.Double) + sa.case((hits.c.leads, _LEAD), else_=_NO_LEAD) if of_leaders else z
    best_z = _without_lead(sa.func.max(leading_z)) if of_leaders else sa.func.max(z)
    sort = {
        "z": best_z,
        "trust": sa.func.arg_max_null(trust(hits.c.strength, holds, hits.c.rank), leading_z),
        "score": best_match(sa.func.max(score)),
        "effect": best_match(sa.func.arg_max_null(effect, z)),
        "layer_z": best_match(sa.func.max(hits.c.layer_z)),
    }
    key = [hits.c[name] for name in _GROUP_KEY]
    best = sa.select(*key, best_z.label("best_z"), sa.func.count().over().label("total")).group_by(*key)
    return best if filters.sort == "neuron" else best.add_columns(sort[filters.sort].label("sort"))


def _without_lead(z: sa.ColumnElement[float]) -> sa.ColumnElement[float]:
    """A z that may have a lead, without it."""
    return z - sa.case((z > _HALF_LEAD, _LEAD), else_=_NO_LEAD)


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
