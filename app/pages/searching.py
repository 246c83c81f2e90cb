"""The search page: results for a text as rows, or the way to a neuron that is named.

The same label in the models of a pair is one row; everything else is as in its JSON twin.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from app import addresses
from app.api import fresh, get_export
from app.catalog import LabelFile, Labels
from app.contract import SearchAnswer, VocabularyToken
from app.pages.browse import first_model, notes, suggestions, turning
from app.pages.grading import meanings_of
from app.pages.rows import folded
from app.queries.search import SearchQuery, search
from app.templating import is_partial, page

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


router.add_api_route(addresses.EXPORT, get_export, dependencies=[Depends(fresh)])


@router.get(addresses.SEARCH)
def search_page(request: Request, labels: Labels, query: Annotated[SearchQuery, Query()]) -> Response:
    """Results for a text; a neuron's name leads to the neuron."""
    here = addresses.asked(addresses.SEARCH, query)
    answer = search(labels, query, folded=True)
    if not is_partial(request) and (elsewhere := _elsewhere(request, labels, query, answer, here)):
        return RedirectResponse(elsewhere, 303)
    context = {
        "run": labels.run,
        "models": list(labels.models.values()),
        "model_choices": [("", "every model"), *((name, name) for name in labels.models)],
        "pair_choices": [("", "any"), *((name, name) for name in labels.holdings.pairs)],
        "notes": notes(labels),
        "meanings": meanings_of(labels),
        "query": query,
        "answer": answer,
        "rows": folded(labels, answer.results),
        "filtered": bool(query.model_dump(exclude_defaults=True).keys() - UNFILTERED),
        "orders": ORDERS,
        "order": query.sort if query.q.strip() else addresses.TRUSTED_FIRST["sort"],
        "readings": readings(answer.pieces),
        "suggestions": [] if query.q.strip() else suggestions(labels),
        **turning(addresses.SEARCH, query, answer),
    }
    response = page(request, "search.html", context, block="results", twin=addresses.twin(here))
    response.headers["HX-Replace-Url"] = here
    return response


def readings(pieces: list[VocabularyToken]) -> list[list[str]]:
    """The ways the vocabularies read a text in pieces, each once."""
    by_tokenizer: dict[str, list[str]] = {}
    for piece in pieces:
        by_tokenizer.setdefault(piece.tokenizer, []).append(piece.text)
    return [list(reading) for reading in dict.fromkeys(map(tuple, by_tokenizer.values()))]


def _elsewhere(request: Request, labels: LabelFile, query: SearchQuery, answer: SearchAnswer, here: str) -> str | None:
    """Where a whole page is answered better: at a neuron, or at its own address without empty fields."""
    if answer.neurons and not answer.results:
        model = query.model or first_model(labels)
        ref = next((ref for ref in answer.neurons if ref.model == model), answer.neurons[0])
        return addresses.neuron(ref.model, ref.layer, ref.index)
    return here if "" in request.query_params.values() and query.q else None
