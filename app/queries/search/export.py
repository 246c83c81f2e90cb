"""All rows of `label_by_token` that the filters leave: each token of a label is a row, with words for enumerations.

This builds the statements that read the rows; it knows nothing of files or of HTTP.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import Field

from app.errors import Unprocessable
from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.params import TextQuestion
from app.queries.ranking import trust
from app.queries.search.filters import Filters, conditions, find_models, find_pair_to_join
from app.queries.search.language import parse
from app.queries.search.results import LABEL_KEY
from app.queries.search.token_match import find_tokens
from app.queries.sql import equal, literal
from neuronym.contract import Lens, Side, Strength, View
from neuronym.label_tables import column_holds, drift, label_by_token, model, outwards, token, tokenizer
from neuronym.neuron_name import FORMAT

hit = label_by_token.c
_SAME, _CHANGED = (sa.literal_column(f"'{word}'", sa.String) for word in ("same", "changed"))
_ROW_ADDRESS = [hit[name] for name in (*LABEL_KEY, "side", "token")]
STRETCH = 250_000  # rows, roughly, that one statement reads when no token is searched


class ExportQuery(Filters, TextQuestion):
    """Which rows are exported: without `q` all that the other filters leave, in the order of the file."""

    q: Annotated[
        str, Field(max_length=10_000, description='A word, `"exact"`, `pre*` or `a, b`; without it every token.')
    ] = ""


def export(labels: LabelFile, query: ExportQuery, *, as_json: bool = False) -> Iterator[sa.Select[Any]]:
    """Statements that read the rows in order, by column, or with `as_json` each as a line of JSON.

    NotFound and Unprocessable, as in `search`, are raised before the first statement.
    """
    models = find_models(labels, query)
    names = [summary.name for summary in models]
    pair = find_pair_to_join(labels, query, names)
    shown = columns(pair)
    values = [_json_line(shown)] if as_json else [column.label(name) for name, column in shown.items()]
    rows = sa.select(*values).select_from(_join_tables(pair)).where(*conditions(labels, query, names))
    if pair and query.agreement:
        rows = rows.where(equal(drift.c.same_top, query.agreement == "same"))
    if not query.q.strip():
        if query.sort != "z":
            raise Unprocessable(f"sort: {query.sort} needs `q`. All rows come by token, side and z; leave sort out.")
        return _statements_by_token(labels, rows)
    return iter([rows.where(_is_searched_token(labels, query, names)).order_by(*_order(query))])


def _statements_by_token(labels: LabelFile, rows: sa.Select[Any]) -> Iterator[sa.Select[Any]]:
    """Statements for some tokens each, in the order of the file: a single one would sort more than fits in memory."""
    order = [hit.token, hit.side, outwards(hit.z, hit.side).desc(), *_ROW_ADDRESS]
    with labels.connect() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(label_by_token)).scalar_one()
        vocabularies = connection.execute(sa.select(tokenizer.c.id, tokenizer.c.vocab).order_by(tokenizer.c.id)).all()
    tokens = sum(vocabulary.vocab for vocabulary in vocabularies)
    stretch = max(1, STRETCH * tokens // max(total, 1))
    for vocabulary in vocabularies:
        vocabulary_rows = rows.where(equal(hit.tokenizer, vocabulary.id))
        for first in range(0, vocabulary.vocab, stretch):
            in_stretch = hit.token >= literal(hit.token, first), hit.token < literal(hit.token, first + stretch)
            yield vocabulary_rows.where(*in_stretch).order_by(*order)


def columns(pair: Pair | None = None) -> dict[str, sa.ColumnElement[Any]]:
    """The columns by name. `agreement` is with the counterpart in `pair`, else in the model's first pair."""
    same_top = drift.c.same_top if pair else hit.agreement
    return {
        "model": model.c.name,
        "neuron": sa.func.format(FORMAT, hit.layer, hit.neuron, type_=sa.String),
        "layer": hit.layer,
        "index": hit.neuron,
        "view": _spell_out(hit.view, View),
        "lens": _spell_out(hit.lens, Lens),
        "side": _spell_out(hit.side, Side),
        "rank": hit.rank,
        "token_id": hit.token,
        "token": token.c.text,
        "score": hit.score,
        "z": hit.z,
        "strength": _spell_out(hit.strength, Strength),
        "layer_z": hit.layer_z,
        "effect": hit.effect,
        "agreement": sa.case((same_top.is_(True), _SAME), (same_top.is_(False), _CHANGED)),
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


def _join_tables(pair: Pair | None) -> sa.Join:
    same_token = sa.and_(token.c.tokenizer == hit.tokenizer, token.c.id == hit.token)
    rows = label_by_token.join(model, model.c.id == hit.model).join(token, same_token)
    if pair is None:
        return rows
    same_label = (drift.c[name] == hit[name] for name in ("layer", "neuron", "view", "lens"))
    return rows.outerjoin(drift, sa.and_(equal(drift.c.pair, pair.id), *same_label))


def _is_searched_token(labels: LabelFile, query: ExportQuery, names: list[str]) -> sa.ColumnElement[bool]:
    """Whether a row is of a token that `q` names; Unprocessable when `q` names no token or too many words."""
    parsed = parse(query.q)
    vocabularies = labels.vocabularies(names)
    matches = find_tokens(parsed.alternatives, vocabularies, most=None)
    if parsed.notes or not any(matches.tokens.values()):
        neuron_note = ["q: a neuron's labels are at /neurons; ask for tokens here."] if parsed.neurons else []
        raise Unprocessable(*(parsed.notes + matches.notes + neuron_note))
    ids = {hash_: id_ for id_, hash_ in labels.holdings.tokenizers.items()}
    return sa.or_(
        *(
            sa.and_(equal(hit.tokenizer, ids[hash_]), hit.token.in_(_select_ids(tokens)))
            for hash_, tokens in matches.tokens.items()
        )
    )


def _select_ids(ids: list[int]) -> sa.Select[Any]:
    return sa.select(sa.func.unnest(sa.literal_column(str(ids)), type_=sa.Integer))


def _order(query: ExportQuery) -> Sequence[sa.ColumnElement[Any]]:
    """The order of a search's labels, for single rows."""
    side = hit.side if query.side == "any" else query.side
    orders: dict[str, list[sa.ColumnElement[Any]]] = {
        "z": [],
        "trust": [trust(hit.strength, column_holds(hit.effect, side), hit.rank).desc()],
        "score": [outwards(hit.score, side).desc()],
        "effect": [outwards(hit.effect, side).desc().nulls_last()],
        "layer_z": [hit.layer_z.desc().nulls_last()],
    }
    return (
        _ROW_ADDRESS if query.sort == "neuron" else [*orders[query.sort], outwards(hit.z, side).desc(), *_ROW_ADDRESS]
    )
