"""What the playground's page shows: the form as it is filled in, the names of its neurons, and where to begin."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from app import addresses
from app.catalog import LabelFile
from app.contract import NeuronAnswer, Site, View
from app.errors import Problem
from app.pages.browse import CLAMP_VALUE, first_model
from app.pages.composing import DEFAULTS, SWEEP, Composition, Row
from app.pages.examples import examples
from app.pages.naming import Naming, namings
from app.pages.tour import named, tour
from app.queries.neuron import neuron

KNOBS = (  # field, label, attributes
    ("max_new_tokens", "New tokens", {"min": 1, "max": 1024, "step": 1}),
    ("temperature", "Temperature", {"min": 0, "max": 5, "step": "any"}),
    ("top_p", "Top p", {"min": 0, "max": 1, "step": "any"}),
    ("seed", "Seed", {"min": 0, "step": 1}),
)


class RowName(NamedTuple):
    """What a row's neuron is named, or why it has no name."""

    answer: NeuronAnswer | None = None
    names: Sequence[tuple[View, Naming]] = ()
    problem: str | None = None


def row_name(labels: LabelFile, model: str, row: Row) -> RowName:
    """Look a row's neuron up."""
    place = row.place()
    if place is None:
        return RowName(problem="Write a neuron as L29N808." if row.neuron else None)
    try:
        answer = neuron(labels, model, *place)
        return RowName(answer, namings(answer, most=2))
    except Problem as problem:
        return RowName(problem=str(problem))


def filling(labels: LabelFile, composition: Composition, **more: Any) -> dict[str, Any]:
    """The context of the page; `more` is what this answer adds."""
    return {
        "run": labels.run,
        "models": list(labels.models.values()),
        "composition": composition,
        "row_names": [row_name(labels, composition.model, row) for row in composition.rows],
        "knobs": KNOBS,
        "tuned": dict(composition.knobs) != DEFAULTS,
        "tour": _starts(labels, composition.model),
        "examples": examples(labels),
        "problem": None,
        "names": None,
        "concept": "",
        "concept_problem": None,
        "sweep": None,
        "sweeping": dict(composition.sweep) != SWEEP,
        "paired": bool(composition.model in labels.models and labels.models[composition.model].pairs),
    } | more


def _starts(labels: LabelFile, model: str) -> list[dict[str, str]]:
    """Neurons to begin with, each a filled-in form."""
    return [
        {
            "neuron": stop.neuron,
            "view": stop.view,
            "named": named(stop),
            "address": addresses.playground(model=model, clamp=f"{stop.neuron}:{_site(stop.view)}:set:{CLAMP_VALUE}"),
        }
        for stop in tour(labels, model or first_model(labels))
    ]


def _site(view: View) -> Site:
    return {View.up: Site.up, View.gate: Site.gate, View.down: Site.act}[view]
