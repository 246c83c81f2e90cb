"""The pages one reads: home, search, neuron, layer, tokens, models, method.

Each asks the same question as its JSON twin and shows the same answer; the address is the whole state.
"""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from app import addresses
from app.catalog import LabelFile, Labels
from app.contract import Counterpart, LayerAnswer, Lens, NeuronAnswer, SearchAnswer, View, VocabularyToken
from app.pages.naming import naming, namings
from app.pages.tour import named, tour
from app.queries.layers import LayerQuery, layer
from app.queries.models import models
from app.queries.neuron import neuron
from app.queries.search import SearchQuery, search
from app.queries.tokens import TokensQuery, token, tokens
from app.templating import is_partial, page

router = APIRouter(include_in_schema=False)

STATISTICS = (  # field, title, a word of explanation, digits
    ("z", "z", "standard deviations of the top score above the mean of the vocabulary", 1),
    ("layer_z", "z in layer", "how the top score stands among the neurons of this layer", 1),
    ("strength", "strength", "how the label stands above its control", 0),
    ("margin", "margin", "lead of the first token over the second", 4),
    ("probability", "p", "softmax share of the top token, the paper’s token probability", 0),
    ("norm", "norm", "length of the weight vector", 3),
    ("mean", "mean", "mean score over the vocabulary", 4),
    ("std", "std", "standard deviation over the vocabulary", 4),
    ("skew", "skew", "above 0: a few tokens stand out on the high side", 2),
    ("kurtosis", "kurtosis", "excess; high where few tokens stand out", 2),
    ("logsumexp", "log-sum-exp", "log of the softmax’s denominator", 3),
)
CLAMP_VALUE = "20"
LENSES = (Lens.cosine, Lens.logit)  # in the order they are shown


def first_model(labels: LabelFile) -> str:
    """The model that is shown where none is chosen: one that chats, if there is one."""
    chatting = (model.name for model in labels.models.values() if model.chat)
    return next(chatting, next(iter(labels.models), ""))


def suggestions(labels: LabelFile) -> list[str]:
    """Words that neurons of this file are named after."""
    return [named(stop) for stop in tour(labels, first_model(labels))]


@router.get(addresses.HOME)
def home(request: Request, labels: Labels) -> Response:
    """The search box, a tour, and what is in the file."""
    model = first_model(labels)
    stops = tour(labels, model)
    context = {
        "run": labels.run,
        "models": list(labels.models.values()),
        "tour": stops,
        "tour_model": model,
        "tour_most": max((stop.z for stop in stops), default=0),
        "suggestions": suggestions(labels),
    }
    return page(request, "home.html", context, twin=addresses.twin(addresses.MODELS))


@router.get(addresses.SEARCH)
def search_page(request: Request, labels: Labels, query: Annotated[SearchQuery, Query()]) -> Response:
    """Results for a text; a neuron's name leads to the neuron."""
    here = addresses.asked(addresses.SEARCH, query)
    answer = search(labels, query)
    if not is_partial(request) and (elsewhere := _elsewhere(request, labels, query, answer, here)):
        return RedirectResponse(elsewhere, 303)
    context = {
        "run": labels.run,
        "models": list(labels.models.values()),
        "model_choices": [("", "every model"), *((name, name) for name in labels.models)],
        "query": query,
        "answer": answer,
        "filtered": bool(query.model_dump(exclude_defaults=True).keys() - {"q", "limit", "offset"}),
        "readings": readings(answer.pieces),
        "suggestions": [] if query.q.strip() else suggestions(labels),
        **_turning(addresses.SEARCH, query, answer),
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


def _turning(path: str, query: LayerQuery | SearchQuery, answer: LayerAnswer | SearchAnswer) -> dict[str, str | None]:
    """Links to the pages of results before and after."""
    before, after = query.offset - query.limit, query.offset + query.limit
    back = addresses.asked(path, query, offset=max(before, 0) or None) if query.offset else None
    return {"back": back, "on": addresses.asked(path, query, offset=after) if after < answer.total else None}


@router.get("/neurons/{model}/{number}/{index}")
def neuron_page(request: Request, labels: Labels, model: str, number: int, index: int) -> Response:
    """All that is known of a neuron."""
    answer = neuron(labels, model, number, index)
    here = addresses.neuron(model, number, index)
    context = {
        "run": answer.run,
        "answer": answer,
        "lenses": [lens for lens in LENSES if any(lens in view for view in answer.views.values())],
        "names": namings(answer),
        "naming": naming,
        "tokenizer": labels.models[model].tokenizer,
        "statistics": STATISTICS,
        "clamp_at": addresses.playground(model=model, clamp=f"{answer.neuron}:up:set:{CLAMP_VALUE}"),
        "counterpart": _counterpart(answer),
    }
    return page(request, "neuron.html", context, twin=addresses.twin(here))


def _counterpart(answer: NeuronAnswer) -> Callable[[View, Lens], Counterpart | None]:
    """Looks up where the same neuron stands in the other model of the pair."""

    def look(view: View, lens: Lens) -> Counterpart | None:
        return answer.counterpart.views.get(view, {}).get(lens) if answer.counterpart else None

    return look


@router.get("/layers/{model}/{number}")
def layer_page(
    request: Request, labels: Labels, model: str, number: int, query: Annotated[LayerQuery, Query()]
) -> Response:
    """The neurons of a layer, most specialised first."""
    answer = layer(labels, model, number, query)
    path = addresses.layer(model, number)
    here = addresses.asked(path, query)
    context = {
        "run": answer.run,
        "answer": answer,
        "query": query,
        "views": [(view.value, view.value) for view in labels.models[model].views],
        **_turning(path, query, answer),
    }
    response = page(request, "layer.html", context, block="results", twin=addresses.twin(here))
    response.headers["HX-Replace-Url"] = here
    return response


@router.get(addresses.TOKENS)
def tokens_page(request: Request, labels: Labels, query: Annotated[TokensQuery, Query()]) -> Response:
    """Tokens that match a text, or the pieces it is read in."""
    answer = tokens(labels, query)
    here = addresses.asked(addresses.TOKENS, query)
    context = {"run": answer.run, "answer": answer, "query": query}
    response = page(request, "tokens.html", context, block="results", twin=addresses.twin(here))
    response.headers["HX-Replace-Url"] = here
    return response


@router.get("/tokens/{tokenizer}/{token_id}")
def token_page(request: Request, labels: Labels, tokenizer: str, token_id: int) -> Response:
    """A token, and every neuron that names it."""
    answer = token(labels, tokenizer, token_id)
    context = {
        "run": answer.run,
        "answer": answer,
        "lenses": {
            lens: [group for group in answer.groups if group.lens == lens] for lens in (Lens.cosine, Lens.logit)
        },
        "several": len(labels.models) > 1,
    }
    return page(request, "token.html", context, twin=addresses.twin(addresses.token(tokenizer, token_id)))


@router.get(addresses.MODELS)
def models_page(request: Request, labels: Labels) -> Response:
    """What is mapped, and where it comes from."""
    answer = models(labels)
    twin = addresses.twin(addresses.MODELS)
    return page(request, "models.html", {"run": answer.run, "answer": answer}, twin=twin)


@router.get(addresses.METHOD)
def method_page(request: Request) -> Response:
    """How neurons get their names."""
    return page(request, "method.html", {})
