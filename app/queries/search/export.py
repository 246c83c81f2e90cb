"""All rows of `label_by_token` that the filters leave: each token of a label is a row, with words for enumerations.

This builds the statements that read the rows; it knows nothing of files or of HTTP.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import Field

from app.errors import Unprocessable
from app.labelfile.library import Library
from app.queries.params import TextQuestion
from app.queries.ranking import trust
from app.queries.search.filters import Filters, conditions, find_counterpart_pair, find_models, same_label
from app.queries.search.language import parse
from app.queries.search.results import LABEL_KEY
from app.queries.search.token_match import find_tokens
from app.queries.sql import equal, literal
from neuronym.contract import Lens, ModelSummary, Side, Strength, View
from neuronym.label_tables import column_holds, outwards
from neuronym.neuron_name import FORMAT

_SAME, _CHANGED = (sa.literal_column(f"'{word}'", sa.String) for word in ("same", "changed"))
_STORED = (*LABEL_KEY[1:], "place", "side", "token", "rank", "score", "z", "strength", "layer_z", "effect")
_ADDRESS = (*LABEL_KEY, "side", "token")
STRETCH = 250_000  # rows, roughly, that one statement reads when no token is searched

Condition = Callable[[ModelSummary, sa.Table], sa.ColumnElement[bool]]


class ExportQuery(Filters, TextQuestion):
    """Which rows are exported: without `q` all that the other filters leave, in the order of the file."""

    q: Annotated[
        str, Field(max_length=10_000, description='A word, `"exact"`, `pre*` or `a, b`; without it every token.')
    ] = ""


def export(labels: Library, query: ExportQuery, *, as_json: bool = False) -> Iterator[sa.Select[Any]]:
    """Statements that read the rows in order, by column, or with `as_json` each as a line of JSON.

    NotFound and Unprocessable, as in `search`, are raised before the first statement.
    """
    names = [summary.name for summary in find_models(labels, query)]
    if query.q.strip():
        return iter([_select_rows(labels, query, names, _find_tokens(labels, query, names), as_json=as_json)])
    if query.sort != "z":
        raise Unprocessable(
            f"sort: {query.sort} needs `q`. All rows come in the order of the alphabet; leave sort out."
        )
    return _statements_by_place(labels, query, names, as_json=as_json)


def _statements_by_place(
    labels: Library, query: ExportQuery, names: Sequence[str], *, as_json: bool
) -> Iterator[sa.Select[Any]]:
    """Statements for some tokens each, in alphabetical order: a single one would sort more than fits in memory."""
    by_tokenizer: dict[str, list[str]] = {}
    for name in names:
        by_tokenizer.setdefault(labels.models[name].tokenizer, []).append(name)
    for models in by_tokenizer.values():
        rows = sum(_count_rows(labels.models[name]) for name in models)
        tokens = len(labels.vocabulary(models[0]))
        stretch = max(1, STRETCH * tokens // max(rows, 1))
        for first in range(0, tokens, stretch):
            yield _select_rows(labels, query, models, _is_between(first, first + stretch), as_json=as_json)


def _count_rows(model: ModelSummary) -> int:
    """The number of search rows that a model has, nearly: the tokens of all its labels."""
    listed = sum(int(str(model.settings.get(name, 0))) for name in ("top_k", "bottom_k"))
    return len(model.mapped) * model.neurons * len(model.views) * len(model.lenses) * listed


def _is_between(first: int, end: int) -> Condition:
    """Whether a row is of a token in a place from `first` on, below `end`."""

    def condition(_: ModelSummary, hit: sa.Table) -> sa.ColumnElement[bool]:
        return sa.and_(hit.c.place >= literal(hit.c.place, first), hit.c.place < literal(hit.c.place, end))

    return condition


def _find_tokens(labels: Library, query: ExportQuery, names: list[str]) -> Condition:
    """Whether a row is of a token that `q` names; Unprocessable when `q` names no token or too many words."""
    parsed = parse(query.q)
    vocabularies = labels.vocabularies(names)
    matches = find_tokens(parsed.alternatives, vocabularies, most=None)
    if parsed.notes or not any(matches.tokens.values()):
        neuron_note = ["q: a neuron's labels are at /neurons; ask for tokens here."] if parsed.neurons else []
        raise Unprocessable(*(parsed.notes + matches.notes + neuron_note))

    def condition(model: ModelSummary, hit: sa.Table) -> sa.ColumnElement[bool]:
        places = vocabularies[model.tokenizer].places(matches.tokens.get(model.tokenizer, []))
        return hit.c.place.in_(sa.select(sa.func.unnest(sa.literal_column(str(places)), type_=sa.Integer)))

    return condition


def _select_rows(
    labels: Library, query: ExportQuery, names: Sequence[str], wanted: Condition, *, as_json: bool
) -> sa.Select[Any]:
    """Select the rows of several models that the filters and `wanted` leave, in order."""
    selected = [_select_rows_of_model(labels, query, name, wanted) for name in names]
    rows = sa.union_all(*selected).subquery("rows")
    shown = columns(rows)
    values = [_json_line(shown)] if as_json else [column.label(name) for name, column in shown.items()]
    return sa.select(*values).order_by(*_order(query, rows))


def _select_rows_of_model(labels: Library, query: ExportQuery, name: str, wanted: Condition) -> sa.Select[Any]:
    """Select the stored columns of a model's rows, with its place and name, the token's text, and the agreement."""
    tables, model = labels.tables(name), labels.models[name]
    hit, token = tables.label_by_token, tables.token
    pair = find_counterpart_pair(labels, query, name)
    same_top: sa.ColumnElement[Any] = sa.null()
    source: sa.FromClause = hit.join(token, token.c.id == hit.c.token)
    if pair:
        drift = labels.pair_tables(pair).drift
        source, same_top = source.outerjoin(drift, same_label(drift, hit)), drift.c.same_top
    rows = sa.select(
        sa.literal_column(str(list(labels.models).index(name)), sa.SmallInteger).label("model"),
        sa.literal(name, literal_execute=True).label("name"),
        *(hit.c[column] for column in _STORED),
        token.c.text,
        sa.cast(same_top, sa.Boolean).label("same_top"),
    )
    rows = rows.select_from(source).where(wanted(model, hit), *conditions(query, hit))
    if not query.agreement:
        return rows
    return rows.where(equal(same_top, query.agreement == "same") if pair else sa.false())


def columns(rows: sa.FromClause) -> dict[str, sa.ColumnElement[Any]]:
    """The columns of an export by name, of rows that `_select_rows_of_model` selects."""
    stored = rows.c
    return {
        "model": stored.name,
        "neuron": sa.func.format(FORMAT, stored.layer, stored.neuron, type_=sa.String),
        "layer": stored.layer,
        "index": stored.neuron,
        "view": _spell_out(stored.view, View),
        "lens": _spell_out(stored.lens, Lens),
        "side": _spell_out(stored.side, Side),
        "rank": stored.rank,
        "token_id": stored.token,
        "token": stored.text,
        "score": stored.score,
        "z": stored.z,
        "strength": _spell_out(stored.strength, Strength),
        "layer_z": stored.layer_z,
        "effect": stored.effect,
        "agreement": sa.case((stored.same_top.is_(True), _SAME), (stored.same_top.is_(False), _CHANGED)),
    }


def _json_line(columns_by_name: dict[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[str]:
    """A row as a JSON object; numbers have as few digits as reading them back exactly needs."""
    parts: list[Any] = []
    for place, (name, column) in enumerate(columns_by_name.items()):
        parts += [f'{"," if place else "{"}"{name}":', sa.func.coalesce(_json_value(column), "null")]
    return sa.func.concat(*parts, "}", type_=sa.String).label("line")


def _json_value(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    if isinstance(value.type, sa.String):
        return sa.cast(sa.func.to_json(value), sa.String)
    if isinstance(value.type, sa.REAL):
        return sa.case((sa.func.isfinite(value), sa.cast(value, sa.String)))
    return sa.cast(value, sa.String)


def _spell_out(column: sa.ColumnElement[Any], words: type[StrEnum]) -> sa.ColumnElement[str]:
    """A column of numbers as the words of their enumeration."""
    word_list: sa.ColumnClause[Any] = sa.literal_column(str([word.value for word in words]))
    place = sa.type_coerce(column, sa.SmallInteger) + sa.literal_column("1", sa.Integer)
    return sa.func.list_extract(word_list, place, type_=sa.String)


def _order(query: ExportQuery, rows: sa.FromClause) -> Sequence[sa.ColumnElement[Any]]:
    """The order of a search's labels, for single rows; without a text that of tokens in the alphabet, then sides."""
    stored = rows.c
    address = [stored[name] for name in _ADDRESS]
    side = stored.side if query.side == "any" else query.side
    nearest = outwards(stored.z, side).desc()
    if not query.q.strip():
        return [stored.place, stored.side, nearest, *address]
    orders: dict[str, list[sa.ColumnElement[Any]]] = {
        "z": [],
        "trust": [trust(stored.strength, column_holds(stored.effect, side), stored.rank).desc()],
        "score": [outwards(stored.score, side).desc()],
        "effect": [outwards(stored.effect, side).desc().nulls_last()],
        "layer_z": [stored.layer_z.desc().nulls_last()],
    }
    return address if query.sort == "neuron" else [*orders[query.sort], nearest, *address]
