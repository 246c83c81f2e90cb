"""The start page: the search box, a tour, and the contents of the library."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.labelfile.catalog import Labels
from app.labelfile.library import Library
from app.labelfile.summary import Pair
from app.pages.neuron_names import LENSES, VIEW_ORDER
from app.pages.tour import first_word, tour
from app.queries.pairs.compare import overall_agreement
from neuronym.contract import Agreement, LayerNeuron, ModelSummary

router = APIRouter(include_in_schema=False)
GLANCES = 3  # pairs that the start page shows


@dataclass(frozen=True, kw_only=True)
class HomePage(Page):
    """The start page; `tour_most` is the largest z of the tour, `notes` are the models' notes by model name."""

    template = "home.html"
    models: list[ModelSummary]
    tour: list[LayerNeuron]
    tour_model: str
    tour_most: float
    glances: list[tuple[Pair, list[Agreement]]]
    notes: dict[str, str]
    suggestions: list[str]


def first_model(labels: Library) -> str:
    """The default model: the first chat model that is no base of a pair, else the first chat model, else the first."""
    chatting = [model.name for model in labels.models.values() if model.chat]
    return next(
        (name for name in chatting if name not in labels.holdings.bases), next(iter(chatting or labels.models), "")
    )


def suggestions(labels: Library) -> list[str]:
    """Words to search for: names of neurons on the tour."""
    return [first_word(stop) for stop in tour(labels, first_model(labels))]


@router.get(urls.HOME)
def home(request: Request, labels: Labels) -> Response:
    """The search box, a tour, and the contents of the library."""
    model = first_model(labels)
    stops = tour(labels, model)
    context = HomePage(
        run=labels.run,
        models=list(labels.models.values()),
        tour=stops,
        tour_model=model,
        tour_most=max((stop.z for stop in stops), default=0),
        glances=glances(labels),
        notes=notes(labels),
        suggestions=suggestions(labels),
    )
    return page(request, context, twin=urls.twin(urls.MODELS))


def notes(labels: Library) -> dict[str, str]:
    """The notes of the models that have one, such as that a model stands in for another, by model name."""
    return {model.name: model.note for model in labels.models.values() if model.note}


def glances(labels: Library) -> list[tuple[Pair, list[Agreement]]]:
    """How many neurons kept their name, by view under the lens that is shown first, for each of the first pairs."""
    with labels.connect() as connection:
        by_pair = [
            (pair, overall_agreement(connection, labels.pair_tables(pair).agreement))
            for pair in list(labels.holdings.pairs.values())[:GLANCES]
        ]
    return [(pair, first_lens_agreements(agreements)) for pair, agreements in by_pair]


def first_lens_agreements(agreements: list[Agreement]) -> list[Agreement]:
    """The figures of the first lens that has any, their views in the order gate, up, down."""
    lens = next((lens for lens in LENSES if any(agreement.lens is lens for agreement in agreements)), None)
    return sorted(
        (agreement for agreement in agreements if agreement.lens is lens),
        key=lambda agreement: VIEW_ORDER.index(agreement.view),
    )
