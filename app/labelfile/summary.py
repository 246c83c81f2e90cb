"""Reads the small tables of a label file, when it is opened: models with their measurements, pairs and tokenizers.

A measurement that this version cannot read is left out and logged: labels do not depend on it. How a file is opened
and swapped is in `app.labelfile.label_file` and `app.labelfile.catalog`.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from neuronym.contract import FirstShown, LayerThreshold, Lens, Measurements, ModelSummary, PairRole, Role, View
from neuronym.label_tables import build, measurement, model, pair, tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """Two mapped models, before and after tuning; `base` and `instruct` are their names."""

    id: int
    name: str
    base: str
    instruct: str
    note: str | None

    def other(self, name: str) -> str:
        """The other model of the pair."""
        return self.instruct if name == self.base else self.base

    def role(self, name: str) -> Role:
        """The role of the model `name` in this pair."""
        return Role.base if name == self.base else Role.instruct

    def seen_from(self, name: str) -> PairRole:
        """The entry for this pair in the summary of the model `name`."""
        return PairRole(name=self.name, role=self.role(name), other=self.other(name), note=self.note)


@dataclass(frozen=True)
class Holdings:
    """The content of the small tables. Ids are the label file's own small integers, which only its tables use."""

    run: str
    built_at: str
    models: dict[str, ModelSummary]
    pairs: dict[str, Pair]
    model_ids: dict[str, int]
    tokenizers: dict[int, str]  # id -> hash
    measurements: dict[str, Measurements]  # by model, per-layer figures included
    thresholds: dict[str, dict[tuple[View, Lens, int], LayerThreshold]]  # by model, then by view, lens and layer

    def pairs_of(self, name: str) -> list[Pair]:
        """The pairs of the model `name`, in order of id; search rows carry the agreement in the first of them."""
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


def read_holdings(connection: sa.Connection) -> Holdings:
    """Read the small tables of an open label file."""
    run, built_at = connection.execute(sa.select(build.c.run, build.c.built_at)).one()
    tokenizers = {row.id: row.hash for row in connection.execute(sa.select(tokenizer.c.id, tokenizer.c.hash))}
    rows = connection.execute(sa.select(model).order_by(model.c.id)).all()
    names = {row.id: row.name for row in rows}
    pairs = {
        row.name: Pair(row.id, row.name, names[row.base], names[row.instruct], row.note)
        for row in connection.execute(sa.select(pair).order_by(pair.c.id))
    }
    by_id = read_measurements(connection)
    measurements = {name: by_id.get(id_, Measurements()) for id_, name in names.items()}
    models = {row.name: _summary(row, tokenizers[row.tokenizer], pairs, measurements[row.name]) for row in rows}
    return Holdings(
        run=run,
        built_at=built_at,
        models=models,
        pairs=pairs,
        model_ids={name: id_ for id_, name in names.items()},
        tokenizers=tokenizers,
        measurements=measurements,
        thresholds={name: thresholds(measured) for name, measured in measurements.items()},
    )


def _summary(row: sa.Row[Any], tokenizer_hash: str, pairs: dict[str, Pair], measurements: Measurements) -> ModelSummary:
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
        tokenizer=tokenizer_hash,
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


def read_measurements(connection: sa.Connection) -> dict[int, Measurements]:
    """Read the measurements of each model, by the model's id; models without any are left out."""
    measurements: dict[int, Measurements] = defaultdict(Measurements)
    for row in connection.execute(sa.select(measurement).where(measurement.c.model.is_not(None))):
        if row.kind in Measurements.model_fields:
            measurements[row.model] = _add_measurement(measurements[row.model], row)
    return dict(measurements)


def _add_measurement(measurements: Measurements, row: sa.Row[Any]) -> Measurements:
    """Return the measurements with that of `row` added; unchanged, with a line in the log, if it cannot be read."""
    fields = {"measured_at": row.measured_at, "seconds": row.seconds}
    try:
        fields |= {"settings": json.loads(row.settings), "result": json.loads(row.result)}
        return Measurements.model_validate({**dict(measurements), row.kind: fields})
    except (ValueError, ValidationError) as error:
        log.warning("the account of kind %s of model %s cannot be read: %s", row.kind, row.model, error)
        return measurements


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
