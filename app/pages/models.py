"""The pages of models: what is mapped and where it comes from, and one model's strengths and measurements."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.labelfile.catalog import Labels
from app.pages.charts.layers import LayerChart, strong_charts, threshold_charts
from app.pages.neuron_names import VIEW_ORDER, layer_link_parameters, lens_order
from app.queries.models import model, models
from app.steering.clamp import Worker, load_failure
from neuronym.contract import (
    ControlMeasurement,
    EffectMeasurement,
    LayerThreshold,
    Lens,
    ModelAnswer,
    ModelsAnswer,
    StrengthCount,
    View,
)

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class ModelsPage(Page):
    """The models; `layer_asked` holds by model name the parameters of links to its layers.

    `unreadable` are the names of models and pairs whose files cannot be read; why is told to those who run the server.
    """

    template = "models.html"
    answer: ModelsAnswer
    layer_asked: dict[str, dict[str, str]]
    unreadable: list[str]


@dataclass(frozen=True, kw_only=True)
class ModelPage(Page):
    """A model; `failed` says why the worker cannot run it.

    `layer_asked` are the parameters of links to its layers; `charts` are the strengths and thresholds of each lens.
    """

    template = "model.html"
    model: ModelAnswer
    failed: str | None
    layer_asked: dict[str, str]
    control: ControlMeasurement | None
    effect: EffectMeasurement | None
    order: list[tuple[View, Lens]]
    counts: dict[tuple[View, Lens], StrengthCount]
    charts: list[tuple[LayerChart, LayerChart]]
    layers: dict[tuple[Lens, int, View], LayerThreshold]


@router.get(urls.MODELS)
def models_page(request: Request, labels: Labels) -> Response:
    """The mapped models, and where they come from."""
    answer = models(labels)
    twin = urls.twin(urls.MODELS)
    first = labels.holdings.first_shown
    parameters = {summary.name: layer_link_parameters(first(summary.name), summary) for summary in answer.models}
    unreadable = [name for _, name in labels.unreadable]
    context = ModelsPage(run=answer.run, answer=answer, layer_asked=parameters, unreadable=unreadable)
    return page(request, context, twin=twin)


async def _failure(worker: Worker, name: str) -> str | None:
    return await load_failure(worker, name)


@router.get(urls.MODELS + "/{name}")
def model_page(
    request: Request, labels: Labels, name: str, failed: Annotated[str | None, Depends(_failure)]
) -> Response:
    """A model: where it comes from, how strong its labels are, and whether they hold."""
    answer = model(labels, name)
    control, effect = answer.measurements.control, answer.measurements.effect
    first = labels.holdings.first_shown(name)
    lenses = [lens for lens in lens_order(first) if lens in answer.lenses]
    layers = (control.result.layers if control else None) or []
    context = ModelPage(
        run=answer.run,
        model=answer,
        failed=failed,
        layer_asked=layer_link_parameters(first, answer),
        control=control,
        effect=effect,
        order=[(view, lens) for lens in lenses for view in VIEW_ORDER if view in answer.views],
        counts={(count.view, count.lens): count for count in control.result.views} if control else {},
        charts=list(zip(strong_charts(layers, lenses), threshold_charts(layers, lenses), strict=True)),
        layers={(threshold.lens, threshold.layer, threshold.view): threshold for threshold in layers},
    )
    return page(request, context, twin=urls.twin(urls.model(name)))
