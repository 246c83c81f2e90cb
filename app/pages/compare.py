"""The pages about a pair: what tuning changed overall, neuron by neuron, and concept by concept."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.html import urls
from app.html.templates import page
from app.labelfile.catalog import Labels
from app.labelfile.label_file import LabelFile
from app.pages.charts.layers import agreement_charts
from app.pages.compare_neuron import cards
from app.pages.neuron_names import LENSES, ORDER
from app.pages.paging import turning
from app.queries.pairs.changed import ChangedQuery, changed
from app.queries.pairs.compare import compare
from app.queries.pairs.concepts import ConceptsQuery, concepts
from app.queries.pairs.side_by_side import side_by_side
from neuronym.contract import Agreement, Lens, PairAnswer, View

router = APIRouter(include_in_schema=False)


def in_order(measured: list[Agreement]) -> list[Agreement]:
    """Lens by lens as they are shown, the views as the signal runs."""
    return sorted(measured, key=lambda one: (LENSES.index(one.lens), ORDER.index(one.view)))


def _about(labels: LabelFile, answer: PairAnswer) -> dict[str, Any]:
    """What every page about a pair shows of it."""
    base = labels.models[answer.base]
    return {
        "run": labels.run,
        "answer": answer,
        "partly": [one for one in (base, labels.models[answer.instruct]) if one.mapped_layers],
        "pairs": list(labels.holdings.pairs.values()),
        "tokenizer": base.tokenizer,
        "views": [("", "any"), *((view.value, view.value) for view in base.views)],
        "lenses": [lens for lens in LENSES if lens in base.lenses],
    }


@router.get(urls.COMPARE)
def compare_start(request: Request, labels: Labels) -> Response:
    """The first pair, or how to make one."""
    for pair in labels.holdings.pairs.values():
        return RedirectResponse(urls.compare(pair.base, pair.instruct), 303)
    return page(request, "unpaired.html", {"run": labels.run})


@router.get("/compare/{base}/{instruct}")
def compare_page(request: Request, labels: Labels, base: str, instruct: str) -> Response:
    """How many neurons kept their name, overall and layer by layer."""
    answer = compare(labels, base, instruct)
    paper = answer.paper
    context = {
        **_about(labels, answer),
        "overall": in_order(answer.overall),
        "ours": next((one for one in answer.overall if (one.view, one.lens) == (paper.view, paper.lens)), None),
        "charts": agreement_charts(answer.by_layer),
        "by_layer": {(one.lens, one.layer, one.view): one for one in answer.by_layer},
        "layers": sorted({one.layer for one in answer.by_layer}),
        "order": [view for view in ORDER if view in answer.agreement],
    }
    return page(request, "compare.html", context, twin=urls.twin(urls.compare(base, instruct)))


@router.get("/compare/{base}/{instruct}/changed")
def changed_page(
    request: Request, labels: Labels, base: str, instruct: str, query: Annotated[ChangedQuery, Query()]
) -> Response:
    """The neurons whose label moved."""
    answer = changed(labels, base, instruct, query)
    path = urls.changed(base, instruct)
    context = {**_about(labels, answer), "query": query, **turning(path, query, answer)}
    return _listed(request, "changed.html", context, urls.asked(path, query))


@router.get("/compare/{base}/{instruct}/concepts")
def concepts_page(
    request: Request, labels: Labels, base: str, instruct: str, query: Annotated[ConceptsQuery, Query()]
) -> Response:
    """The tokens that were gained and lost."""
    answer = concepts(labels, base, instruct, query)
    path = urls.concepts(base, instruct)
    context = {**_about(labels, answer), "query": query, **turning(path, query, answer)}
    return _listed(request, "concepts.html", context, urls.asked(path, query))


@router.get("/compare/{base}/{instruct}/{number}/{index}")
def side_by_side_page(request: Request, labels: Labels, base: str, instruct: str, number: int, index: int) -> Response:
    """A neuron in both models."""
    answer = side_by_side(labels, base, instruct, number, index)
    about = _about(labels, answer)
    context = {
        **about,
        "shown": {lens: cards(answer, lens) for lens in about["lenses"]},
        "moved": _moved(answer.views, about["lenses"]),
    }
    twin = urls.twin(urls.side_by_side(base, instruct, number, index))
    return page(request, "side_by_side.html", context, twin=twin)


def _moved(views: Any, lenses: list[Lens]) -> list[tuple[View, Any]]:
    """What became of each view's name, under the lens that is shown first."""
    return [(view, views[view][lenses[0]]) for view in ORDER if lenses[0] in views.get(view, {})]


def _listed(request: Request, template: str, context: dict[str, Any], here: str) -> Response:
    response = page(request, template, context, block="results", twin=urls.twin(here))
    response.headers["HX-Replace-Url"] = here
    return response
