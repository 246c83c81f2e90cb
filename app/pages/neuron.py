"""The page of a neuron: its labels, how far each can be trusted, its effects when clamped, and links to go on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.labelfile.catalog import Labels
from app.labelfile.library import Library
from app.pages.neuron_effects import (
    ClampedEnd,
    EndChanges,
    MeasuredClamp,
    changes,
    clamped_ends,
    clamps,
    measured_clamp,
)
from app.pages.neuron_names import VIEW_ORDER, Naming, layer_link_parameters, lens_order, naming, namings
from app.pages.playground.ranges import first_clamp
from app.pages.strength import Meanings, meanings
from app.queries.neuron import neuron
from neuronym.contract import Counterpart, Direction, LabelAnswer, Lens, NeuronAnswer, Role, Site, View

router = APIRouter(include_in_schema=False)

STATISTICS = (  # field, title, a word of explanation, digits
    ("z", "z", "standard deviations of the top score above the mean of the vocabulary", 1),
    ("layer_z", "z in layer", "how the top score stands among the neurons of this layer", 1),
    ("margin", "margin", "lead of the first token over the second", 4),
    ("probability", "p", "softmax share of the top token, the paper’s token probability", 0),
    ("norm", "norm", "length of the weight vector", 3),
    ("mean", "mean", "mean score over the vocabulary", 4),
    ("std", "std", "standard deviation over the vocabulary", 4),
    ("skew", "skew", "above 0: a few tokens stand out on the high side", 2),
    ("kurtosis", "kurtosis", "excess; high where few tokens stand out", 2),
    ("logsumexp", "log-sum-exp", "log of the softmax’s denominator", 3),
)


class OtherModel(NamedTuple):
    """A model that the neuron can be compared with, and the neuron's counterpart in it under each view."""

    other: str
    role: Role
    note: str | None
    address: str
    views: list[tuple[View, Counterpart]]


@dataclass(frozen=True, kw_only=True)
class NeuronPage(Page):
    """A neuron.

    `trial` looks up the measured clamp of the label under a view and lens, `counterpart` the other model's label.
    """

    template = "neuron.html"
    answer: NeuronAnswer
    lenses: list[Lens]
    names: list[tuple[View, Naming]]
    name: Naming | str
    naming: Callable[[LabelAnswer, int], Naming]
    layer_asked: dict[str, str]
    meanings: Meanings
    trial: Callable[[View, Lens], MeasuredClamp | None]
    tried: list[ClampedEnd]
    clamps: list[tuple[Site, Direction]]
    changes: list[EndChanges]
    vocab: int
    tokenizer: str
    statistics: tuple[tuple[str, str, str, int], ...]
    clamp_at: str
    counterpart: Callable[[View, Lens], Counterpart | None]
    beside: list[OtherModel]
    note: str | None


@router.get("/neurons/{model}/{number}/{index}")
def neuron_page(request: Request, labels: Labels, model: str, number: int, index: int) -> Response:
    """All that is known of a neuron."""
    answer = neuron(labels, model, number, index)
    first = labels.holdings.first_shown(model)
    summary = labels.models[model]
    lenses = [lens for lens in lens_order(first) if any(lens in view for view in answer.views.values())]
    names = namings(answer, first=first)
    context = NeuronPage(
        run=answer.run,
        answer=answer,
        lenses=lenses,
        names=names,
        name=names[0 if first else -1][1] if names else "",
        naming=naming,
        layer_asked=layer_link_parameters(first, summary),
        meanings=meanings(labels.holdings.measurements[model].control),
        trial=_clamp_lookup(answer, summary.vocab),
        tried=clamped_ends(answer, lenses[0], summary.vocab) if lenses else [],
        clamps=clamps(answer),
        changes=changes(answer),
        vocab=summary.vocab,
        tokenizer=summary.tokenizer,
        statistics=STATISTICS,
        clamp_at=urls.playground(model=model, clamp=first_clamp(answer).parameter()),
        counterpart=_counterpart_lookup(answer),
        beside=_other_models(labels, answer, lenses),
        note=summary.note,
    )
    return page(request, context, twin=urls.twin(urls.neuron(model, number, index)))


def _clamp_lookup(answer: NeuronAnswer, vocab: int) -> Callable[[View, Lens], MeasuredClamp | None]:
    """A function that looks up the effect of clamping high on the label under a view and lens."""

    def look_up(view: View, lens: Lens) -> MeasuredClamp | None:
        return measured_clamp(answer, view, lens, Direction.high, vocab)

    return look_up


def _counterpart_lookup(answer: NeuronAnswer) -> Callable[[View, Lens], Counterpart | None]:
    """A function that looks up the same label in the other model of the pair."""

    def look_up(view: View, lens: Lens) -> Counterpart | None:
        return answer.counterpart.views.get(view, {}).get(lens) if answer.counterpart else None

    return look_up


def _other_models(labels: Library, answer: NeuronAnswer, lenses: list[Lens]) -> list[OtherModel]:
    """The models this neuron can be compared with; only the first has its counterparts listed."""
    return [
        OtherModel(
            other=pair.other(answer.model),
            role=pair.role(pair.other(answer.model)),
            note=labels.models[pair.other(answer.model)].note or (pair.note if answer.model == pair.instruct else None),
            address=urls.side_by_side(pair.base, pair.instruct, answer.layer, answer.index),
            views=_counterparts(answer, lenses) if place == 0 else [],
        )
        for place, pair in enumerate(labels.holdings.pairs_of(answer.model))
        if answer.layer in labels.models[pair.other(answer.model)].mapped
    ]


def _counterparts(answer: NeuronAnswer, lenses: list[Lens]) -> list[tuple[View, Counterpart]]:
    """The counterpart of each view under the lens that is shown first."""
    views = answer.counterpart.views if answer.counterpart else {}
    lens = next((lens for lens in lenses if any(lens in view for view in views.values())), Lens.cosine)
    return [(view, views[view][lens]) for view in VIEW_ORDER if lens in views.get(view, {})]
