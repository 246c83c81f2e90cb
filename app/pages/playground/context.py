"""The variables of the playground's page: the form as it is filled in, the names of its neurons, and where to begin.

The solved examples were found by `neuronym-worker steer-test`, and show what it measured.

"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

from app.errors import Problem
from app.html import urls
from app.html.templates import Fragment, Page
from app.labelfile.library import Library
from app.pages.charts.sweep import CurveChart
from app.pages.home import first_model
from app.pages.neuron_names import Naming, namings
from app.pages.playground.outcome import FinishedRun
from app.pages.playground.ranges import OwnRange, first_clamp, own_range
from app.pages.playground.state import DEFAULTS, SWEEP, ClampRow, Composition
from app.pages.playground.token_count import TokenCount
from app.pages.tour import first_word, tour
from app.queries.neuron import neuron
from neuronym.contract import ErrorAnswer, LayerNeuron, ModelSummary, NeuronAnswer, Site, SweepAnswer, View
from neuronym.neuron_name import EXAMPLE, PATTERN
from neuronym.sites import OWN_SITE

Knob = tuple[str, str, dict[str, int | str]]

KNOBS: tuple[Knob, ...] = (  # field, label, attributes
    ("max_new_tokens", "New tokens", {"min": 1, "max": 1024, "step": 1}),
    ("temperature", "Temperature", {"min": 0, "max": 5, "step": "any"}),
    ("top_p", "Top p", {"min": 0, "max": 1, "step": "any"}),
    ("seed", "Seed", {"min": 0, "step": 1}),
)
FILE = Path(__file__).with_name("examples.json")


class RowName(NamedTuple):
    """The names of a row's neuron, or the `problem` why it has none."""

    answer: NeuronAnswer | None = None
    names: Sequence[tuple[View, Naming]] = ()
    own: OwnRange | None = None
    problem: str | None = None


class StartingNeuron(NamedTuple):
    """A neuron to begin with; `address` is the form filled in with a clamp of it."""

    neuron: str
    view: View
    named: str
    address: str


class PlaygroundExample(NamedTuple):
    """A solved example: its title, what was measured of it, and the form filled in with it."""

    title: str
    measured: str
    address: str


@dataclass(frozen=True, kw_only=True)
class PlaygroundPage(Page):
    """The form as it is filled in, and at most one outcome.

    The outcome is a `problem`, a `sweep` with its `charts`, or a run that is `done`; without one the page says where to
    begin. `focus` is the field to go on with: a row's number, `text` or `assistant`. `obstacle` is the reason why
    nothing can be run.
    """

    template = "playground/page.html"
    models: list[ModelSummary]
    composition: Composition
    row_names: list[RowName]
    neuron_pattern: str = PATTERN
    neuron_example: str = EXAMPLE
    sites: tuple[Site, ...] = tuple(Site)
    knobs: tuple[Knob, ...] = KNOBS
    tuned: bool
    sweeping: bool
    paired: bool
    tour: list[StartingNeuron]
    examples: list[PlaygroundExample]
    focus: int | str | None = None
    obstacle: str | None = None
    concept: str = ""
    concept_problem: str | None = None
    problem: ErrorAnswer | None = None
    then: str | None = None
    sweep: SweepAnswer | None = None
    charts: Sequence[CurveChart] = ()
    done: FinishedRun | None = None


@dataclass(frozen=True, kw_only=True)
class RowNamePart(Fragment):
    """The name of the neuron in row `at`."""

    template = "playground/_row_name.html"
    named: RowName
    at: int


@dataclass(frozen=True, kw_only=True)
class CountPart(Fragment):
    """The number of tokens of the input; None if it is not known."""

    template = "playground/_count.html"
    count: TokenCount | None


@dataclass(frozen=True, kw_only=True)
class ObstaclePart(Fragment):
    """The reason why nothing can be run with a model; None if it can."""

    template = "playground/_obstacle.html"
    obstacle: str | None


_by_file: WeakKeyDictionary[Library, dict[str, list[StartingNeuron]]] = WeakKeyDictionary()  # forgotten with its file


def row_name(labels: Library, model: str, row: ClampRow) -> RowName:
    """Look up the names of a row's neuron."""
    name = row.neuron_name()
    if name is None:
        return RowName(problem=f"Write a neuron as {EXAMPLE}." if row.neuron else None)
    try:
        answer = neuron(labels, model, name.layer, name.index)
        return RowName(answer, namings(answer, most=2), own_range(answer, row))
    except Problem as problem:
        return RowName(problem=str(problem))


def fill_page(labels: Library, composition: Composition) -> PlaygroundPage:
    """The page with its form filled in; nothing is run yet."""
    return PlaygroundPage(
        run=labels.run,
        models=list(labels.models.values()),
        composition=composition,
        row_names=[row_name(labels, composition.model, row) for row in composition.rows],
        tuned=dict(composition.knobs) != DEFAULTS,
        sweeping=dict(composition.sweep) != SWEEP,
        paired=bool(composition.model in labels.models and labels.models[composition.model].pairs),
        tour=_starting_neurons(labels, composition.model or first_model(labels)),
        examples=examples(labels),
    )


def _starting_neurons(labels: Library, model: str) -> list[StartingNeuron]:
    """Neurons to begin with; looked up once for each state of the library."""
    known = _by_file.setdefault(labels, {})
    if model not in known and model in labels.models:
        known[model] = [_starting_neuron(labels, stop) for stop in tour(labels, model)]
    return known.get(model, [])


def _starting_neuron(labels: Library, stop: LayerNeuron) -> StartingNeuron:
    row = first_clamp(neuron(labels, stop.model, stop.layer, stop.index), OWN_SITE[stop.view])
    address = urls.playground(model=stop.model, clamp=row.parameter())
    return StartingNeuron(stop.neuron, stop.view, first_word(stop), address)


def examples(labels: Library, path: Path = FILE) -> list[PlaygroundExample]:
    """The examples whose model is mapped."""
    return [
        PlaygroundExample(example["title"], example["measured"], urls.playground(**example["state"]))
        for example in json.loads(path.read_text())
        if example["state"]["model"] in labels.models
    ]
