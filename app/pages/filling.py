"""What the playground's page shows: the form as it is filled in, the names of its neurons, and where to begin."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from app import addresses
from app.catalog import LabelFile
from app.contract import LayerNeuron, NeuronAnswer, View
from app.errors import Problem
from app.pages.browse import first_model
from app.pages.composing import DEFAULTS, SWEEP, Composition, Row
from app.pages.examples import examples
from app.pages.naming import Naming, namings
from app.pages.own_range import SITES, OwnRange, first_clamp, own_range
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
    own: OwnRange | None = None
    problem: str | None = None


class Start(NamedTuple):
    """A neuron to begin with, as a filled-in form."""

    neuron: str
    view: View
    named: str
    address: str


_starting: WeakKeyDictionary[LabelFile, dict[str, list[Start]]] = WeakKeyDictionary()  # gone with its file


def row_name(labels: LabelFile, model: str, row: Row) -> RowName:
    """Look a row's neuron up."""
    place = row.place()
    if place is None:
        return RowName(problem="Write a neuron as L29N808." if row.neuron else None)
    try:
        answer = neuron(labels, model, *place)
        return RowName(answer, namings(answer, most=2), own_range(answer, row))
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
        "tour": _starts(labels, composition.model or first_model(labels)),
        "examples": examples(labels),
        "problem": None,
        "obstacle": None,
        "names": None,
        "concept": "",
        "concept_problem": None,
        "sweep": None,
        "sweeping": dict(composition.sweep) != SWEEP,
        "paired": bool(composition.model in labels.models and labels.models[composition.model].pairs),
    } | more


def _starts(labels: LabelFile, model: str) -> list[Start]:
    """Neurons to begin with; looked up once for each label file."""
    known = _starting.setdefault(labels, {})
    if model not in known and model in labels.models:
        known[model] = [_start(labels, stop) for stop in tour(labels, model)]
    return known.get(model, [])


def _start(labels: LabelFile, stop: LayerNeuron) -> Start:
    row = first_clamp(neuron(labels, stop.model, stop.layer, stop.index), SITES[stop.view])
    return Start(stop.neuron, stop.view, named(stop), addresses.playground(model=stop.model, clamp=row.written()))
