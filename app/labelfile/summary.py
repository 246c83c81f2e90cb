"""What the files of the library hold together: models with their measurements, and pairs of them.

What each file holds is read by `app.labelfile.open_file`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.labelfile.open_file import OpenFile
from neuronym.contract import FirstShown, LayerThreshold, Lens, Measurements, ModelSummary, PairRole, Role, View
from neuronym.label_tables import outdated_models


@dataclass(frozen=True)
class Pair:
    """Two mapped models, before and after tuning; `base` and `instruct` are their names.

    `outdated` are those of the two that were mapped again since they were compared.
    """

    name: str
    base: str
    instruct: str
    note: str | None
    outdated: tuple[str, ...] = ()

    def other(self, name: str) -> str:
        """The other model of the pair."""
        return self.instruct if name == self.base else self.base

    def role(self, name: str) -> Role:
        """The role of the model `name` in this pair."""
        return Role.base if name == self.base else Role.instruct

    def seen_from(self, name: str) -> PairRole:
        """The entry for this pair in the summary of the model `name`."""
        return PairRole(name=self.name, role=self.role(name), other=self.other(name), note=self.dated(self.note))

    def dated(self, note: str | None) -> str | None:
        """A note on the pair, with a sentence where what is told of it is of the labels of then."""
        if not self.outdated:
            return note
        again = f"{' and '.join(self.outdated)} {'were' if self.outdated[1:] else 'was'} mapped again"
        sentence = f"Since the two were compared, {again}: map the pair again to compare the labels of today."
        return f"{note} {sentence}" if note else sentence


@dataclass(frozen=True)
class Holdings:
    """The content of the small tables of all files."""

    run: str
    built_at: str  # of the newest file; empty where there is none
    models: dict[str, ModelSummary]
    pairs: dict[str, Pair]
    measurements: dict[str, Measurements]  # by model, per-layer figures included
    thresholds: dict[str, dict[tuple[View, Lens, int], LayerThreshold]]  # by model, then by view, lens and layer

    def pairs_of(self, name: str) -> list[Pair]:
        """The pairs of the model `name`, in their order; the first of them has its counterparts unless one is named."""
        return [paired for paired in self.pairs.values() if name in (paired.base, paired.instruct)]

    def pair_between(self, name: str, other: str) -> Pair | None:
        """The pair of two models, whichever is the base; None if they are no pair."""
        return next((paired for paired in self.pairs_of(name) if paired.other(name) == other), None)

    def first_shown(self, name: str) -> FirstShown | None:
        """The view and lens whose labels hold most often in a model; None if that was not measured."""
        effect = self.measurements[name].effect
        return effect.result.first if effect else None

    @property
    def bases(self) -> set[str]:
        """Names of the models that are the base of a pair; the tuned model of a pair is shown first."""
        return {paired.base for paired in self.pairs.values()}

    def families(self, names: Iterable[str]) -> dict[str, str]:
        """Map each of the models `names` to the first of them that pairs connect it with, directly or indirectly."""
        first = {name: name for name in names}
        for paired in self.pairs.values():
            heads = {first.get(paired.base), first.get(paired.instruct)}
            if None not in heads:
                head = next(name for name in first if name in heads)
                first = {name: head if former in heads else former for name, former in first.items()}
        return first


def hold(run: str, files: Sequence[OpenFile]) -> Holdings:
    """What files hold together; pairs without both of their models are left out."""
    rows = {file.entry.name: file.row for file in files if file.kind == "model"}
    measurements = {file.entry.name: file.measurements for file in files if file.kind == "model"}
    mapped_in = {name: row.mapped_in for name, row in rows.items()}
    found = (_pair(file, mapped_in) for file in files if file.kind == "pair")
    pairs = {pair.name: pair for pair in found if {pair.base, pair.instruct} <= rows.keys()}
    return Holdings(
        run=run,
        built_at=max((file.built_at for file in files), default=""),
        models={name: _summary(row, pairs, measurements[name]) for name, row in rows.items()},
        pairs=pairs,
        measurements=measurements,
        thresholds={name: thresholds(measured) for name, measured in measurements.items()},
    )


def _pair(file: OpenFile, mapped_in: Mapping[str, str]) -> Pair:
    row = file.row
    return Pair(file.entry.name, row.base, row.instruct, row.note, outdated_models(row._mapping, mapped_in))


def _summary(row: sa.Row[Any], pairs: Mapping[str, Pair], measurements: Measurements) -> ModelSummary:
    settings = json.loads(row.settings)
    return ModelSummary(
        name=row.name,
        layers=row.layers,
        mapped_layers=settings.get("layers"),
        neurons=row.neurons,
        width=row.width,
        vocab=row.vocab,
        source=row.source,
        revision=row.revision,
        source_hash=row.source_hash,
        adapter=row.adapter,
        architecture=row.architecture,
        gated=row.gated,
        tied=row.tied,
        chat=row.chat,
        note=row.note,
        tokenizer=row.tokenizer,
        dtype=row.dtype,
        device=row.device,
        versions=json.loads(row.versions),
        settings=settings,
        views=settings["views"],
        lenses=settings["lenses"],
        mapped_at=row.mapped_at,
        seconds=row.seconds,
        pairs=[paired.seen_from(row.name) for paired in pairs.values() if row.name in (paired.base, paired.instruct)],
        measurements=drop_layer_figures(measurements),
    )


def drop_layer_figures(measurements: Measurements) -> Measurements:
    """Drop the per-layer figures."""
    if measurements.control is None:
        return measurements
    result = measurements.control.result.model_copy(update={"layers": None})
    return measurements.model_copy(update={"control": measurements.control.model_copy(update={"result": result})})


def thresholds(measurements: Measurements) -> dict[tuple[View, Lens, int], LayerThreshold]:
    """The thresholds between noise and labels, by view, lens and layer; empty if the control was not measured."""
    layers = measurements.control.result.layers if measurements.control else None
    return {(threshold.view, threshold.lens, threshold.layer): threshold for threshold in layers or ()}
