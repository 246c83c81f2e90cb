"""The start page: the search box, a tour, and what is in the label file."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.labelfile.catalog import Labels
from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from app.pages.neuron_names import LENSES, ORDER
from app.pages.tour import named, tour
from app.queries.pairs.compare import overall
from neuronym.contract import Agreement, LayerNeuron, ModelSummary

router = APIRouter(include_in_schema=False)
GLANCES = 3  # pairs that the start page shows


@dataclass(frozen=True, kw_only=True)
class HomePage(Page):
    """The start page; `tour_most` is the largest z of the tour, `notes` are those of the models by name."""

    template = "home.html"
    models: list[ModelSummary]
    tour: list[LayerNeuron]
    tour_model: str
    tour_most: float
    glances: list[tuple[Pair, list[Agreement]]]
    notes: dict[str, str]
    suggestions: list[str]


def first_model(labels: LabelFile) -> str:
    """The model that is shown where none is chosen: one that chats and is nobody's base, if there is one."""
    chatting = [model.name for model in labels.models.values() if model.chat]
    return next(
        (name for name in chatting if name not in labels.holdings.bases), next(iter(chatting or labels.models), "")
    )


def suggestions(labels: LabelFile) -> list[str]:
    """Words that neurons of this file are named after."""
    return [named(stop) for stop in tour(labels, first_model(labels))]


@router.get(urls.HOME)
def home(request: Request, labels: Labels) -> Response:
    """The search box, a tour, and what is in the file."""
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
