"""What the playground's page shows: the form as it is filled in, the names of its neurons, and where to begin.

Solved examples were found by `neuronym-worker steer-test`, with what it measured.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from app.errors import Problem
from app.html import urls
from app.labelfile.label_file import LabelFile
from app.pages.home import first_model
from app.pages.neuron_names import Naming, namings
from app.pages.playground.ranges import OwnRange, first_clamp, own_range
from app.pages.playground.state import DEFAULTS, SWEEP, Composition, Row
from app.pages.tour import named, tour
from app.queries.neuron import neuron
from neuronym.contract import LayerNeuron, NeuronAnswer, Site, View
from neuronym.neuron_name import EXAMPLE, PATTERN
from neuronym.sites import OWN_SITE

KNOBS = (  # field, label, attributes
    ("max_new_tokens", "New tokens", {"min": 1, "max": 1024, "step": 1}),
    ("temperature", "Temperature", {"min": 0, "max": 5, "step": "any"}),
    ("top_p", "Top p", {"min": 0, "max": 1, "step": "any"}),
    ("seed", "Seed", {"min": 0, "step": 1}),
)
FILE = Path(__file__).with_name("examples.json")


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
    name = row.neuron_name()
    if name is None:
        return RowName(problem=f"Write a neuron as {EXAMPLE}." if row.neuron else None)
    try:
        answer = neuron(labels, model, name.layer, name.index)
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
        "neuron_pattern": PATTERN,
        "neuron_example": EXAMPLE,
        "sites": list(Site),
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
    row = first_clamp(neuron(labels, stop.model, stop.layer, stop.index), OWN_SITE[stop.view])
    return Start(stop.neuron, stop.view, named(stop), urls.playground(model=stop.model, clamp=row.written()))


class Example(NamedTuple):
    """A link with what it shows and what was measured of it."""

    title: str
    measured: str
    address: str


def examples(labels: LabelFile, path: Path = FILE) -> list[Example]:
    """The examples whose model is mapped."""
    return [
        Example(one["title"], one["measured"], urls.playground(**one["state"]))
        for one in json.loads(path.read_text())
        if one["state"]["model"] in labels.models
    ]
