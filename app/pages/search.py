"""The search page: results for a text as rows, or the way to a neuron that is named.

The same label in the models of a pair is one row; everything else is as in its JSON twin.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.api import get_export
from app.html import urls
from app.html.templates import Page, is_partial
from app.labelfile.catalog import Labels
from app.labelfile.label_file import LabelFile
from app.pages.home import first_model, notes, suggestions
from app.pages.paging import Turns, list_page, turns
from app.pages.strength import Meanings, meanings_of
from app.queries.search.search import SearchQuery, search
from app.web.etag import fresh
from neuronym.contract import ModelSummary, SearchAnswer, SearchResult, Side, Token, VocabularyToken

router = APIRouter(include_in_schema=False)

ORDERS = [  # of results, in the order they are offered
    ("trust", "trusted first"),
    ("z", "z"),
    ("effect", "effect"),
    ("score", "score"),
    ("layer_z", "z in layer"),
    ("neuron", "neuron"),
]
UNFILTERED = {"q", "sort", "limit", "offset"}  # what leaves no label out


@dataclass(frozen=True, kw_only=True)
class SearchPage(Page):
    """Results for a text; `filtered`: a filter may have left labels out, `readings`: the text in pieces."""

    template = "search.html"
    models: list[ModelSummary]
    model_choices: list[tuple[str, str]]
    pair_choices: list[tuple[str, str]]
    notes: dict[str, str]
    meanings: dict[str, Meanings]
    query: SearchQuery
    answer: SearchAnswer
    rows: list["Row"]
    filtered: bool
    orders: list[tuple[str, str]]
    order: str
    readings: list[list[str]]
    suggestions: list[str]
    turns: Turns


router.add_api_route(urls.EXPORT, get_export, dependencies=[Depends(fresh)])


@router.get(urls.SEARCH)
def search_page(request: Request, labels: Labels, query: Annotated[SearchQuery, Query()]) -> Response:
    """Results for a text; a neuron's name leads to the neuron."""
    answer = search(labels, query, folded=True)
    if not is_partial(request) and (elsewhere := _elsewhere(request, labels, query, answer)):
        return RedirectResponse(elsewhere, 303)
    context = SearchPage(
        run=labels.run,
        models=list(labels.models.values()),
        model_choices=[("", "every model"), *((name, name) for name in labels.models)],
        pair_choices=[("", "any"), *((name, name) for name in labels.holdings.pairs)],
        notes=notes(labels),
        meanings=meanings_of(labels),
        query=query,
        answer=answer,
        rows=folded(labels, answer.results),
        filtered=bool(query.model_dump(exclude_defaults=True).keys() - UNFILTERED),
        orders=ORDERS,
        order=query.sort if query.q.strip() else urls.TRUSTED_FIRST["sort"],
        readings=readings(answer.pieces),
        suggestions=[] if query.q.strip() else suggestions(labels),
        turns=turns(urls.SEARCH, query, answer),
    )
    return list_page(request, context, urls.SEARCH, query)


def readings(pieces: list[VocabularyToken]) -> list[list[str]]:
    """The ways the vocabularies read a text in pieces, each once."""
    by_tokenizer: dict[str, list[str]] = {}
    for piece in pieces:
        by_tokenizer.setdefault(piece.tokenizer, []).append(piece.text)
    return [list(reading) for reading in dict.fromkeys(map(tuple, by_tokenizer.values()))]


def _elsewhere(request: Request, labels: LabelFile, query: SearchQuery, answer: SearchAnswer) -> str | None:
    """Where a whole page is answered better: at a neuron, or at its own address without empty fields."""
    if answer.neurons and not answer.results:
        model = query.model or first_model(labels)
        ref = next((ref for ref in answer.neurons if ref.model == model), answer.neurons[0])
        return urls.neuron(ref.model, ref.layer, ref.index)
    return urls.asked(urls.SEARCH, query) if "" in request.query_params.values() and query.q else None


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
    compare = urls.side_by_side(pair.base, pair.instruct, best.layer, best.index) if pair else None
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
