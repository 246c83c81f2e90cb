"""The search page: results for a text as rows, or a redirect to the neuron that the text names.

Results for the same label in paired models share a row; all else is as in the JSON twin.

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
from app.labelfile.library import Library
from app.pages.home import first_model, notes, suggestions
from app.pages.paging import PageLinks, list_page, page_links
from app.pages.strength import Meanings, meanings_by_model
from app.queries.params import Limit
from app.queries.search.search import SearchQuery, search
from app.web.etag import set_etag
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
UNFILTERED = {"q", "sort", "limit", "offset"}  # parameters that filter no labels


class SearchPageQuery(SearchQuery):
    """A search as a page shows it: what two screens hold, which costs less than half of what 50 rows of HTML do."""

    limit: Limit = 20


@dataclass(frozen=True, kw_only=True)
class SearchPage(Page):
    """Results for a text; `filtered`: a filter may have left labels out, `readings`: the tokens the text is made of."""

    template = "search.html"
    models: list[ModelSummary]
    model_choices: list[tuple[str, str]]
    pair_choices: list[tuple[str, str]]
    notes: dict[str, str]
    meanings: dict[str, Meanings]
    query: SearchQuery
    answer: SearchAnswer
    rows: list["ResultRow"]
    filtered: bool
    orders: list[tuple[str, str]]
    order: str
    readings: list[list[str]]
    suggestions: list[str]
    turns: PageLinks


router.add_api_route(urls.EXPORT, get_export, dependencies=[Depends(set_etag)])


@router.get(urls.SEARCH)
def search_page(request: Request, labels: Labels, query: Annotated[SearchPageQuery, Query()]) -> Response:
    """Results for a text; a neuron's name redirects to the neuron."""
    answer = search(labels, query, folded=True)
    if not is_partial(request) and (address := _redirect_address(request, labels, query, answer)):
        return RedirectResponse(address, 303)
    context = SearchPage(
        run=labels.run,
        models=list(labels.models.values()),
        model_choices=[("", "every model"), *((name, name) for name in labels.models)],
        pair_choices=[("", "any"), *((name, name) for name in labels.holdings.pairs)],
        notes=notes(labels),
        meanings=meanings_by_model(labels),
        query=query,
        answer=answer,
        rows=fold_results(labels, answer.results),
        filtered=bool(query.model_dump(exclude_defaults=True).keys() - UNFILTERED),
        orders=ORDERS,
        order=query.sort if query.q.strip() else urls.TRUSTED_FIRST["sort"],
        readings=readings(answer.pieces),
        suggestions=[] if query.q.strip() else suggestions(labels),
        turns=page_links(urls.SEARCH, query, answer),
    )
    return list_page(request, context, urls.SEARCH, query)


def readings(pieces: list[VocabularyToken]) -> list[list[str]]:
    """The different ways in which the vocabularies split a text into tokens."""
    by_tokenizer: dict[str, list[str]] = {}
    for piece in pieces:
        by_tokenizer.setdefault(piece.tokenizer, []).append(piece.text)
    return [list(reading) for reading in dict.fromkeys(map(tuple, by_tokenizer.values()))]


def _redirect_address(request: Request, labels: Library, query: SearchQuery, answer: SearchAnswer) -> str | None:
    """Where a whole page is redirected: to the named neuron, or to the address without empty fields; else None."""
    if answer.neurons and not answer.results:
        model = query.model or first_model(labels)
        ref = next((ref for ref in answer.neurons if ref.model == model), answer.neurons[0])
        return urls.neuron(ref.model, ref.layer, ref.index)
    return urls.question_address(urls.SEARCH, query) if "" in request.query_params.values() and query.q else None


class ModelLabel(NamedTuple):
    """The tokens of a label in one model; `rank` and `z` are of its best match, None if it has no match."""

    model: str
    tokens: list[Token]
    matched: list[int]
    beyond: Token | None  # the best match, where it is not among the first tokens
    rank: int | None
    z: float | None


class ResultRow(NamedTuple):
    """A label in all models where it matched, and in the counterpart of the first of them where that differs.

    `best` is the best result; a result of a base model only if there is no other.
    """

    best: SearchResult
    models: list[str]
    names: list[ModelLabel]  # the first is of `best`; others only where their tokens differ
    compare: str | None


def fold_results(labels: Library, results: Iterable[SearchResult]) -> list[ResultRow]:
    """Make one row of the results for the same label in paired models, which have to follow each other."""
    families = labels.holdings.families(labels.models)

    def label(result: SearchResult) -> tuple[object, ...]:
        return families[result.model], result.layer, result.index, result.view, result.lens

    return [_result_row(labels, list(group)) for _, group in groupby(results, key=label)]


def _result_row(labels: Library, results: list[SearchResult]) -> ResultRow:
    ordered = sorted(results, key=lambda result: (result.model in labels.holdings.bases, -abs(result.z)))
    best, models = ordered[0], [result.model for result in ordered]
    names = [_model_label(result) for result in ordered]
    counterpart = best.counterpart
    if counterpart and counterpart.model not in models and best.side is Side.top:  # a counterpart has no bottom tokens
        names.append(ModelLabel(counterpart.model, counterpart.top_tokens, _matched(best), None, None, None))
    differing = [name for name in names[1:] if _differ(_ids(name.tokens), _ids(names[0].tokens))]
    pair = labels.holdings.pair_between(best.model, counterpart.model) if counterpart else None
    compare = urls.side_by_side(pair.base, pair.instruct, best.layer, best.index) if pair else None
    return ResultRow(best, models, [names[0], *differing], compare)


def _differ(ids: list[int], other: list[int]) -> bool:
    """Whether two labels name different tokens: another set of tokens, or another first token."""
    return ids[:1] != other[:1] or set(ids) != set(other)


def _model_label(result: SearchResult) -> ModelLabel:
    tokens = result.top_tokens if result.bottom_tokens is None else result.bottom_tokens
    shown = result.token_id in _ids(tokens)
    beyond = None if shown else Token(token_id=result.token_id, text=result.token)
    return ModelLabel(result.model, tokens, _matched(result), beyond, result.rank, result.z)


def _matched(result: SearchResult) -> list[int]:
    return [result.token_id, *_ids(result.matches)]


def _ids(tokens: Iterable[Token]) -> list[int]:
    return [token.token_id for token in tokens]
