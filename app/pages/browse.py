"""The pages one reads: home, neuron, layer, tokens, models, method.

Each asks the same question as its JSON twin and shows the same answer; the address is the whole state.
"""

from collections.abc import Callable
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app import addresses
from app.catalog import LabelFile, Labels
from app.contract import Agreement, Counterpart, Lens, NeuronAnswer, View
from app.holdings import Pair
from app.pages.naming import ORDER, naming, namings
from app.pages.own_range import first_clamp
from app.pages.tour import named, tour
from app.queries.agreement import overall
from app.queries.layers import LayerQuery, layer
from app.queries.models import models
from app.queries.neuron import neuron
from app.queries.question import Question
from app.queries.tokens import TokensQuery, token, tokens
from app.templating import page

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
GLANCES = 3  # pairs that the start page shows
LENSES = (Lens.cosine, Lens.logit)  # in the order they are shown


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
        "clamp_at": addresses.playground(model=model, clamp=first_clamp(answer).written()),
        "counterpart": _counterpart(answer),
        "beside": _beside(labels, answer),
        "note": labels.models[model].note,
    }
    return page(request, "neuron.html", context, twin=addresses.twin(here))


def _counterpart(answer: NeuronAnswer) -> Callable[[View, Lens], Counterpart | None]:
    """Looks up where the same neuron stands in the other model of the pair."""

    def look(view: View, lens: Lens) -> Counterpart | None:
        return answer.counterpart.views.get(view, {}).get(lens) if answer.counterpart else None

    return look


def _beside(labels: LabelFile, answer: NeuronAnswer) -> list[dict[str, Any]]:
    """The pairs this neuron can be compared in, the first with what became of each view's name."""
    return [
        {
            "other": pair.other(answer.model),
            "role": pair.role(pair.other(answer.model)),
            "note": labels.models[pair.other(answer.model)].note
            or (pair.note if answer.model == pair.instruct else None),
            "address": addresses.side_by_side(pair.base, pair.instruct, answer.layer, answer.index),
            "views": _moved(answer) if place == 0 else [],
        }
        for place, pair in enumerate(labels.holdings.pairs_of(answer.model))
    ]


def _moved(answer: NeuronAnswer) -> list[tuple[View, Counterpart]]:
    """The counterpart of each view, under the lens that is shown first."""
    views = answer.counterpart.views if answer.counterpart else {}
    lens = next((lens for lens in LENSES if any(lens in view for view in views.values())), Lens.cosine)
    return [(view, views[view][lens]) for view in ORDER if lens in views.get(view, {})]


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
        "note": labels.models[model].note,
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
