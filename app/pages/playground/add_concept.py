"""Clamps for a concept: the neurons that write it, else those that read it, by measured effect or else by z."""

from typing import Literal

from app.errors import Unprocessable
from app.labelfile.library import Library
from app.pages.playground.state import ClampRow, Composition
from app.queries.clamps import units
from app.queries.lookup import find_model
from app.queries.search.search import SearchQuery, search
from neuronym.contract import MAX_CLAMPS, Clamp, SearchResult, View
from neuronym.sites import OWN_SITE

NEURONS = 4  # that are added for a concept
UNMEASURED = 4.0  # the value of a clamp whose neuron has no measured range


def add_concept(labels: Library, composition: Composition, concept: str) -> Composition:
    """The form with clamps for a concept added. Unprocessable: no further neuron of the model is named after it."""
    model = find_model(labels, composition.model)
    if not concept.strip():
        raise Unprocessable("Write a word, for example dog.")
    results = _search(labels, model.name, concept, View.down) or _search(labels, model.name, concept, "any")
    rows = [row for row in composition.rows if row.neuron or row.value]
    clamped = {row.neuron for row in rows}
    by_neuron = {result.neuron: result for result in reversed(results) if result.neuron not in clamped}
    new = list(reversed(by_neuron.values()))[:NEURONS]
    if not new:
        raise Unprocessable(f"No further neuron of {model.name} writes “{concept.strip()[:40]}”. Try another word.")
    return composition.with_rows([*rows, *_clamp_rows(labels, model.name, new)])


def _search(labels: Library, model: str, concept: str, view: Literal["any", View.down]) -> list[SearchResult]:
    """Neurons named after the concept, those with the largest measured effect first, else by z."""

    def search_by(sort: Literal["effect", "z"]) -> list[SearchResult]:
        query = SearchQuery(q=concept, model=model, view=view, limit=NEURONS + MAX_CLAMPS, sort=sort)
        return search(labels, query).results

    by_effect = search_by("effect")
    return by_effect if any(result.effect is not None for result in by_effect) else search_by("z")


def _clamp_rows(labels: Library, model: str, results: list[SearchResult]) -> list[ClampRow]:
    """Clamps that add each neuron's own unit to it."""
    clamps = [Clamp(layer=result.layer, index=result.index, site=OWN_SITE[result.view], value=0) for result in results]
    own_units = units(labels, find_model(labels, model), clamps)
    values = [own_units.get((clamp.site, clamp.layer, clamp.index)) or UNMEASURED for clamp in clamps]
    return [
        ClampRow(result.neuron, clamp.site.value, "add", f"{value:.3g}")
        for result, clamp, value in zip(results, clamps, values, strict=True)
    ]
