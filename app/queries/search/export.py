"""Every row of the labels that filters leave: what a search is a page of, and the whole file when no text is asked for.

One row a label's token, with words for enumerations. Says what is read; knows nothing of files or of HTTP.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Any

import sqlalchemy as sa
from pydantic import Field

from app.errors import Unprocessable
from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.queries.params import Text
from app.queries.ranking import trust
from app.queries.search.filters import Filters, conditions, elsewhere, models_asked
from app.queries.search.language import parse
from app.queries.search.results import KEY
from app.queries.search.token_match import match
from app.queries.sql import equal, literal
from neuronym.contract import Lens, Side, Strength, View
from neuronym.label_tables import column_holds, drift, label_by_token, model, outwards, token, tokenizer
from neuronym.neuron_name import FORMAT

hit = label_by_token.c
_SAME, _CHANGED = (sa.literal_column(f"'{word}'", sa.String) for word in ("same", "changed"))
_PLACES = [hit[name] for name in (*KEY, "side", "token")]
STRETCH = 250_000  # rows, about, that one statement gives when all are exported


class ExportQuery(Filters, Text):
    """Which rows are exported. Without `q` all that the other filters leave, in the order of the file."""

    q: Annotated[
        str, Field(max_length=10_000, description='A word, `"exact"`, `pre*` or `a, b`; without it every token.')
    ] = ""


def export(labels: LabelFile, query: ExportQuery, *, as_json: bool = False) -> Iterator[sa.Select[Any]]:
    """Statements that give the rows in order, by column or each as a line of JSON.

    NotFound and Unprocessable, before the first of them, name what is there.
    """
    models = models_asked(labels, query)
    names = [one.name for one in models]
    pair = elsewhere(labels, query, names)
    shown = columns(pair)
    values = [_json_line(shown)] if as_json else [column.label(name) for name, column in shown.items()]
    rows = sa.select(*values).select_from(_tables(pair)).where(*conditions(labels, query, names))
    if pair and query.agreement:
        rows = rows.where(equal(drift.c.same_top, query.agreement == "same"))
    if not query.q.strip():
        if query.sort != "z":
            raise Unprocessable(f"sort: {query.sort} needs `q`. All rows come by token, side and z; leave sort out.")
        return _by_token(labels, rows)
    return iter([rows.where(_asked(labels, query, names)).order_by(*_order(query))])


def _by_token(labels: LabelFile, rows: sa.Select[Any]) -> Iterator[sa.Select[Any]]:
    """Some tokens at a time, as the file is sorted: one statement for all would sort more than fits in memory."""
    order = [hit.token, hit.side, outwards(hit.z, hit.side).desc(), *_PLACES]
    with labels.connect() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(label_by_token)).scalar_one()
        vocabularies = connection.execute(sa.select(tokenizer.c.id, tokenizer.c.vocab).order_by(tokenizer.c.id)).all()
    tokens = sum(vocabulary.vocab for vocabulary in vocabularies)
    stretch = max(1, STRETCH * tokens // max(total, 1))
    for vocabulary in vocabularies:
        of_vocabulary = rows.where(equal(hit.tokenizer, vocabulary.id))
        for first in range(0, vocabulary.vocab, stretch):
            here = hit.token >= literal(hit.token, first), hit.token < literal(hit.token, first + stretch)
            yield of_vocabulary.where(*here).order_by(*order)


def columns(pair: Pair | None = None) -> dict[str, sa.ColumnElement[Any]]:
    """Name and value of each column. `agreement` is with the counterpart in `pair`, else in the model's first."""
    same_top = drift.c.same_top if pair else hit.agreement
    return {
        "model": model.c.name,
        "neuron": sa.func.format(FORMAT, hit.layer, hit.neuron, type_=sa.String),
        "layer": hit.layer,
        "index": hit.neuron,
        "view": _word(hit.view, View),
        "lens": _word(hit.lens, Lens),
        "side": _word(hit.side, Side),
        "rank": hit.rank,
        "token_id": hit.token,
        "token": token.c.text,
        "score": hit.score,
        "z": hit.z,
        "strength": _word(hit.strength, Strength),
        "layer_z": hit.layer_z,
        "effect": hit.effect,
        "agreement": sa.case((same_top.is_(True), _SAME), (same_top.is_(False), _CHANGED)),
    }


def _json_line(shown: dict[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[str]:
    """A row as a JSON object; numbers are as short as they can be to be read back exactly."""
    parts: list[Any] = []
    for place, (name, column) in enumerate(shown.items()):
        parts += [f'{"," if place else "{"}"{name}":', sa.func.coalesce(_json(column), "null")]
    return sa.func.concat(*parts, "}", type_=sa.String).label("line")


def _json(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    if isinstance(value.type, sa.String):
        return sa.cast(sa.func.to_json(value), sa.String)
    if isinstance(value.type, sa.REAL):
        return sa.case((sa.func.isfinite(value), sa.cast(value, sa.String)))
    return sa.cast(value, sa.String)


def _word(column: sa.ColumnElement[Any], words: type[StrEnum]) -> sa.ColumnElement[str]:
    """An enumeration spelled out."""
    listed: sa.ColumnClause[Any] = sa.literal_column(str([word.value for word in words]))
    place = sa.type_coerce(column, sa.SmallInteger) + sa.literal_column("1", sa.Integer)
    return sa.func.list_extract(listed, place, type_=sa.String)


def _tables(pair: Pair | None) -> sa.Join:
    spelled = sa.and_(token.c.tokenizer == hit.tokenizer, token.c.id == hit.token)
    rows = label_by_token.join(model, model.c.id == hit.model).join(token, spelled)
    if pair is None:
        return rows
    same = (drift.c[name] == hit[name] for name in ("layer", "neuron", "view", "lens"))
    return rows.outerjoin(drift, sa.and_(equal(drift.c.pair, pair.id), *same))


def _asked(labels: LabelFile, query: ExportQuery, names: list[str]) -> sa.ColumnElement[bool]:
    """Whether a row is of one of the asked tokens; Unprocessable where nothing can be looked up, or not all."""
    parsed = parse(query.q)
    vocabularies = labels.vocabularies(names)
    found = match(parsed.alternatives, vocabularies, most=None)
    if parsed.notes or not any(found.tokens.values()):
        named = ["q: a neuron's labels are at /neurons; ask for tokens here."] if parsed.neurons else []
        raise Unprocessable(*(parsed.notes + found.notes + named))
    ids = {hash_: id_ for id_, hash_ in labels.holdings.tokenizers.items()}
    return sa.or_(
        *(
            sa.and_(equal(hit.tokenizer, ids[hash_]), hit.token.in_(_listed(tokens)))
            for hash_, tokens in found.tokens.items()
        )
    )


def _listed(ids: list[int]) -> sa.Select[Any]:
    return sa.select(sa.func.unnest(sa.literal_column(str(ids)), type_=sa.Integer))


def _order(query: ExportQuery) -> Sequence[sa.ColumnElement[Any]]:
    """As a search sorts, row by row."""
    side = hit.side if query.side == "any" else query.side
    by: dict[str, list[sa.ColumnElement[Any]]] = {
        "z": [],
        "trust": [trust(hit.strength, column_holds(hit.effect, side), hit.rank).desc()],
        "score": [outwards(hit.score, side).desc()],
        "effect": [outwards(hit.effect, side).desc().nulls_last()],
        "layer_z": [hit.layer_z.desc().nulls_last()],
    }
    return _PLACES if query.sort == "neuron" else [*by[query.sort], outwards(hit.z, side).desc(), *_PLACES]
