"""The pages about a pair of models: what tuning changed overall, neuron by neuron, and concept by concept."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.html import urls
from app.html.templates import Page, page
from app.labelfile.catalog import Labels
from app.labelfile.library import Library
from app.labelfile.summary import Pair
from app.pages.charts.layers import LayerChart, agreement_charts
from app.pages.compare_neuron import Card, cards
from app.pages.neuron_names import LENSES, VIEW_ORDER
from app.pages.paging import PageLinks, list_page, page_links
from app.queries.pairs.changed import ChangedQuery, changed_neurons
from app.queries.pairs.compare import compare
from app.queries.pairs.concepts import ConceptsQuery, concepts
from app.queries.pairs.side_by_side import side_by_side
from neuronym.contract import (
    Agreement,
    ChangedAnswer,
    CompareAnswer,
    ConceptsAnswer,
    DriftAnswer,
    LayerAgreement,
    Lens,
    ModelSummary,
    SideBySideAnswer,
    View,
)

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class UnpairedPage(Page):
    """Instructions to map a pair, where there is none."""

    template = "unpaired.html"


@dataclass(frozen=True, kw_only=True)
class ComparePage(Page):
    """How many neurons of a pair kept their name.

    `ours` is this pair's figure beside the paper's; `partly` are the models of which only some layers are mapped.
    """

    template = "compare.html"
    answer: CompareAnswer
    partly: list[ModelSummary]
    pairs: list[Pair]
    tokenizer: str
    overall: list[Agreement]
    ours: Agreement | None
    charts: list[LayerChart]
    by_layer: dict[tuple[Lens, int, View], LayerAgreement]
    layers: list[int]


@dataclass(frozen=True, kw_only=True)
class ChangedPage(Page):
    """The neurons whose label changed; `views` are the choices of the view field."""

    template = "changed.html"
    answer: ChangedAnswer
    query: ChangedQuery
    views: list[tuple[str, str]]
    turns: PageLinks


@dataclass(frozen=True, kw_only=True)
class ConceptsPage(Page):
    """The tokens that names gained and lost; `views` are the choices of the view field."""

    template = "concepts.html"
    answer: ConceptsAnswer
    query: ConceptsQuery
    views: list[tuple[str, str]]
    tokenizer: str
    turns: PageLinks


@dataclass(frozen=True, kw_only=True)
class SideBySidePage(Page):
    """A neuron in both models: its labels by lens (`shown`), and how each view's name changed (`moved`)."""

    template = "side_by_side.html"
    answer: SideBySideAnswer
    tokenizer: str
    shown: dict[Lens, list[Card]]
    moved: list[tuple[View, DriftAnswer]]


def sort_agreements(agreements: list[Agreement]) -> list[Agreement]:
    """Sort figures by lens as they are shown, then by view in the order gate, up, down."""
    return sorted(agreements, key=lambda agreement: (LENSES.index(agreement.lens), VIEW_ORDER.index(agreement.view)))


def _views(labels: Library, base: str) -> list[tuple[str, str]]:
    """The choices of the view field: any, or one of the views that the pair is mapped under."""
    return [("", "any"), *((view.value, view.value) for view in labels.models[base].views)]


@router.get(urls.COMPARE)
def compare_start(request: Request, labels: Labels) -> Response:
    """Redirect to the first pair, or explain how to map one."""
    for pair in labels.holdings.pairs.values():
        return RedirectResponse(urls.compare(pair.base, pair.instruct), 303)
    return page(request, UnpairedPage(run=labels.run))


@router.get("/compare/{base}/{instruct}")
def compare_page(request: Request, labels: Labels, base: str, instruct: str) -> Response:
    """How many neurons kept their name, overall and layer by layer."""
    answer = compare(labels, base, instruct)
    paper = answer.paper
    context = ComparePage(
        run=answer.run,
        answer=answer,
        partly=[labels.models[name] for name in (base, instruct) if labels.models[name].mapped_layers],
        pairs=list(labels.holdings.pairs.values()),
        tokenizer=labels.models[base].tokenizer,
        overall=sort_agreements(answer.overall),
        ours=next(
            (figure for figure in answer.overall if (figure.view, figure.lens) == (paper.view, paper.lens)), None
        ),
        charts=agreement_charts(answer.by_layer),
        by_layer={(figure.lens, figure.layer, figure.view): figure for figure in answer.by_layer},
        layers=sorted({figure.layer for figure in answer.by_layer}),
    )
    return page(request, context, twin=urls.twin(urls.compare(base, instruct)))


@router.get("/compare/{base}/{instruct}/changed")
def changed_page(
    request: Request, labels: Labels, base: str, instruct: str, query: Annotated[ChangedQuery, Query()]
) -> Response:
    """The neurons whose label changed."""
    answer = changed_neurons(labels, base, instruct, query)
    path = urls.changed(base, instruct)
    context = ChangedPage(
        run=answer.run,
        answer=answer,
        query=query,
        views=_views(labels, base),
        turns=page_links(path, query, answer),
    )
    return list_page(request, context, path, query)


@router.get("/compare/{base}/{instruct}/concepts")
def concepts_page(
    request: Request, labels: Labels, base: str, instruct: str, query: Annotated[ConceptsQuery, Query()]
) -> Response:
    """The tokens that names gained and lost."""
    answer = concepts(labels, base, instruct, query)
    path = urls.concepts(base, instruct)
    context = ConceptsPage(
        run=answer.run,
        answer=answer,
        query=query,
        views=_views(labels, base),
        tokenizer=labels.models[base].tokenizer,
        turns=page_links(path, query, answer),
    )
    return list_page(request, context, path, query)


@router.get("/compare/{base}/{instruct}/{number}/{index}")
def side_by_side_page(request: Request, labels: Labels, base: str, instruct: str, number: int, index: int) -> Response:
    """A neuron in both models."""
    answer = side_by_side(labels, base, instruct, number, index)
    summary = labels.models[base]
    lenses = [lens for lens in LENSES if lens in summary.lenses]
    context = SideBySidePage(
        run=answer.run,
        answer=answer,
        tokenizer=summary.tokenizer,
        shown={lens: cards(answer, lens) for lens in lenses},
        moved=[(view, answer.views[view][lenses[0]]) for view in VIEW_ORDER if lenses[0] in answer.views.get(view, {})],
    )
    return page(request, context, twin=urls.twin(urls.side_by_side(base, instruct, number, index)))
