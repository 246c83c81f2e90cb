"""The pages one browses: home, a layer, tokens.

Each asks the same question as its JSON twin and shows the same answer; the address is the whole state.
"""

from typing import Annotated, Protocol

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app import addresses
from app.catalog import LabelFile, Labels
from app.contract import Agreement
from app.holdings import Pair
from app.pages.grading import meanings, meanings_of
from app.pages.naming import LENSES, ORDER
from app.pages.tour import named, tour
from app.queries.agreement import overall
from app.queries.layers import LayerQuery, layer
from app.queries.question import Question
from app.queries.tokens import TokensQuery, token, tokens
from app.templating import page

router = APIRouter(include_in_schema=False)

LAYER_ORDERS = {  # value -> what it is called, and what the page then says of itself
    "z": ("z", "most specialised first"),
    "trust": ("trusted first", "trusted labels first"),
    "layer_z": ("z in layer", "those that stand out most in the layer first"),
    "margin": ("margin", "the clearest first token first"),
    "neuron": ("neuron", "in their order"),
}
GLANCES = 3  # pairs that the start page shows


def first_model(labels: LabelFile) -> str:
    """The model that is shown where none is chosen: one that chats and is nobody's base, if there is one."""
    chatting = [model.name for model in labels.models.values() if model.chat]
    return next(
        (name for name in chatting if name not in labels.holdings.bases), next(iter(chatting or labels.models), "")
    )


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
        "glances": glances(labels),
        "notes": notes(labels),
        "suggestions": suggestions(labels),
    }
    return page(request, "home.html", context, twin=addresses.twin(addresses.MODELS))


def notes(labels: LabelFile) -> dict[str, str]:
    """What has to be known of a model wherever it is named, by its name."""
    return {model.name: model.note for model in labels.models.values() if model.note}


def glances(labels: LabelFile) -> list[tuple[Pair, list[Agreement]]]:
    """Of each of the first pairs, how many neurons kept their name, view by view under the lens that is shown first."""
    with labels.connect() as connection:
        measured = [(pair, overall(connection, pair)) for pair in list(labels.holdings.pairs.values())[:GLANCES]]
    return [(pair, shown_first(found)) for pair, found in measured]


def shown_first(measured: list[Agreement]) -> list[Agreement]:
    """The measures under the first lens there is, the views as the signal runs."""
    lens = next((lens for lens in LENSES if any(one.lens is lens for one in measured)), None)
    return sorted((one for one in measured if one.lens is lens), key=lambda one: ORDER.index(one.view))


class Paged(Protocol):
    """An answer of which a page is shown."""

    total: int
    limit: int
    offset: int


def turning(path: str, query: Question, answer: Paged) -> dict[str, str | None]:
    """Links to the pages of results before and after."""
    before, after = answer.offset - answer.limit, answer.offset + answer.limit
    back = addresses.asked(path, query, offset=max(before, 0) or None) if answer.offset else None
    return {"back": back, "on": addresses.asked(path, query, offset=after) if after < answer.total else None}


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
        "model": labels.models[model],
        "views": [(view.value, view.value) for view in labels.models[model].views],
        "orders": [(value, called) for value, (called, _) in LAYER_ORDERS.items()],
        "lead": LAYER_ORDERS[query.sort][1],
        "meanings": meanings(labels.holdings.measurements[model].control),
        **turning(path, query, answer),
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
        "lenses": {lens: [group for group in answer.groups if group.lens == lens] for lens in LENSES},
        "several": len(labels.models) > 1,
        "meanings": meanings_of(labels),
    }
    return page(request, "token.html", context, twin=addresses.twin(addresses.token(tokenizer, token_id)))
