"""The page of a layer."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page
from app.labelfile.catalog import Labels
from app.pages.paging import PageLinks, list_page, page_links
from app.pages.strength import Meanings, meanings
from app.queries.layers import LayerQuery, layer
from neuronym.contract import LayerAnswer, ModelSummary

router = APIRouter(include_in_schema=False)

LAYER_ORDERS = {  # value -> its name in the list of orders, and the words of the page's lead
    "z": ("z", "most specialised first"),
    "trust": ("trusted first", "trusted labels first"),
    "layer_z": ("z in layer", "those that stand out most in the layer first"),
    "margin": ("margin", "the clearest first token first"),
    "neuron": ("neuron", "in their order"),
}


@dataclass(frozen=True, kw_only=True)
class LayerPage(Page):
    """The neurons of a layer; `lead` says in words how they are sorted."""

    template = "layer.html"
    answer: LayerAnswer
    query: LayerQuery
    model: ModelSummary
    views: list[tuple[str, str]]
    orders: list[tuple[str, str]]
    lead: str
    meanings: Meanings
    turns: PageLinks


@router.get("/layers/{model}/{number}")
def layer_page(
    request: Request, labels: Labels, model: str, number: int, query: Annotated[LayerQuery, Query()]
) -> Response:
    """The neurons of a layer, most specialised first."""
    answer = layer(labels, model, number, query)
    path = urls.layer(model, number)
    context = LayerPage(
        run=answer.run,
        answer=answer,
        query=query,
        model=labels.models[model],
        views=[(view.value, view.value) for view in labels.models[model].views],
        orders=[(value, title) for value, (title, _) in LAYER_ORDERS.items()],
        lead=LAYER_ORDERS[query.sort][1],
        meanings=meanings(labels.holdings.measurements[model].control),
        turns=page_links(path, query, answer),
    )
    return list_page(request, context, path, query)
