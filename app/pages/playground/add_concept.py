"""Clamps for a concept: the neurons that write it, else those that read it, by measured effect or else by z."""

from typing import Literal

from app.errors import Unprocessable
from app.labelfile.label_file import LabelFile
from app.pages.playground.state import Composition, Row
from app.queries.clamps import units
from app.queries.lookup import find_model
from app.queries.search.search import SearchQuery, search
from neuronym.contract import MAX_CLAMPS, Clamp, SearchResult, View
from neuronym.sites import OWN_SITE

NEURONS = 4  # added at a time
UNMEASURED = 4.0  # a value to begin with where no neuron's range is measured


def with_concept(labels: LabelFile, composition: Composition, concept: str) -> Composition:
    """The composition with rows for a concept. Unprocessable: no neuron of the model is named after it."""
    model = find_model(labels, composition.model)
    if not concept.strip():
        raise Unprocessable("Write a word, for example dog.")
    found = _named(labels, model.name, concept, View.down) or _named(labels, model.name, concept, "any")
    kept = [row for row in composition.rows if row.neuron or row.value]
    once = {one.neuron: one for one in reversed(found) if one.neuron not in {row.neuron for row in kept}}
    new = list(reversed(once.values()))[:NEURONS]
    if not new:
        raise Unprocessable(f"No further neuron of {model.name} writes “{concept.strip()[:40]}”. Try another word.")
    return composition.with_rows([*kept, *_rows(labels, model.name, new)])


def _named(labels: LabelFile, model: str, concept: str, view: Literal["any", View.down]) -> list[SearchResult]:
    """Neurons named after the concept, the most effective first."""

    def found(sort: Literal["effect", "z"]) -> list[SearchResult]:
        query = SearchQuery(q=concept, model=model, view=view, limit=NEURONS + MAX_CLAMPS, sort=sort)
        return search(labels, query).results

    by_effect = found("effect")
    return by_effect if any(one.effect is not None for one in by_effect) else found("z")


def _rows(labels: LabelFile, model: str, found: list[SearchResult]) -> list[Row]:
    clamps = [Clamp(layer=one.layer, index=one.index, site=OWN_SITE[one.view], value=0) for one in found]
    own = units(labels, find_model(labels, model), clamps)
    values = [own.get((clamp.site, clamp.layer, clamp.index)) or UNMEASURED for clamp in clamps]
    return [
        Row(one.neuron, clamp.site.value, "add", f"{value:.3g}")
        for one, clamp, value in zip(found, clamps, values, strict=True)
    ]
