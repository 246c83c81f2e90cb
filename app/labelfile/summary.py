"""What a label file holds: its models with their measurements, pairs and vocabularies, read when the file is opened.

These tables have a handful of rows. The account of a measurement that this version cannot read is left out with a
line in the log: labels do not depend on it. Knows nothing of how the file is opened or swapped.
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
    """Two mapped checkpoints, before and after tuning; `base` and `instruct` are names of models."""

    id: int
    name: str
    base: str
    instruct: str
    note: str | None

    def other(self, name: str) -> str:
        """The model that stands opposite `name`."""
        return self.instruct if name == self.base else self.base

    def role(self, name: str) -> Role:
        """The place of `name` in this pair."""
        return Role.base if name == self.base else Role.instruct

    def seen_from(self, name: str) -> PairRole:
        """This pair as `name` states it."""
        return PairRole(name=self.name, role=self.role(name), other=self.other(name), note=self.note)


@dataclass(frozen=True)
class Holdings:
    """The small tables. Ids are the label file's own small integers; names are what the world uses."""

    run: str
    built_at: str
    models: dict[str, ModelSummary]
    pairs: dict[str, Pair]
    model_ids: dict[str, int]
    tokenizers: dict[int, str]  # id -> hash
    measurements: dict[str, Measurements]  # by model, with every layer
    thresholds: dict[str, dict[tuple[View, Lens, int], LayerThreshold]]  # by model, then place

    def pairs_of(self, name: str) -> list[Pair]:
        """Pairs that `name` stands in, the first one first: its agreement is what search rows carry."""
        return [known for known in self.pairs.values() if name in (known.base, known.instruct)]

    def pair_between(self, one: str, other: str) -> Pair | None:
        """The pair these two stand in, in whichever roles."""
        return next((known for known in self.pairs_of(one) if known.other(one) == other), None)

    def first_shown(self, name: str) -> FirstShown | None:
        """The view and lens whose labels hold most often in a model, where that was measured."""
        effect = self.measurements[name].effect
        return effect.result.first if effect else None

    @property
    def bases(self) -> set[str]:
        """Models that were tuned further: the other one of their pair is shown first."""
        return {known.base for known in self.pairs.values()}

    def families(self, names: Iterable[str]) -> dict[str, str]:
        """Of each of these models the first that it is paired with, directly or through another of them."""
        first = {name: name for name in names}
        for known in self.pairs.values():
            heads = {first.get(known.base), first.get(known.instruct)}
            if None not in heads:
                head = next(name for name in first if name in heads)
                first = {name: head if had in heads else had for name, had in first.items()}
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
    found = read_measurements(connection)
    measured = {name: found.get(id_, Measurements()) for id_, name in names.items()}
    models = {row.name: _summary(row, tokenizers[row.tokenizer], pairs, measured[row.name]) for row in rows}
    return Holdings(
        run=run,
        built_at=built_at,
        models=models,
        pairs=pairs,
        model_ids={name: id_ for id_, name in names.items()},
        tokenizers=tokenizers,
        measurements=measured,
        thresholds={name: thresholds(one) for name, one in measured.items()},
    )


def _summary(row: sa.Row[Any], tokenizer_hash: str, pairs: dict[str, Pair], measured: Measurements) -> ModelSummary:
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
        pairs=[known.seen_from(row.name) for known in pairs.values() if row.name in (known.base, known.instruct)],
        measurements=without_layers(measured),
    )


def read_measurements(connection: sa.Connection) -> dict[int, Measurements]:
    """What was measured on each model, by the model's id; those without any are left out."""
    found: dict[int, Measurements] = defaultdict(Measurements)
    for row in connection.execute(sa.select(measurement).where(measurement.c.model.is_not(None))):
        if row.kind in Measurements.model_fields:
            found[row.model] = _with(found[row.model], row)
    return dict(found)


def _with(had: Measurements, row: sa.Row[Any]) -> Measurements:
    account = {"measured_at": row.measured_at, "seconds": row.seconds}
    try:
        account |= {"settings": json.loads(row.settings), "result": json.loads(row.result)}
        return Measurements.model_validate({**dict(had), row.kind: account})
    except (ValueError, ValidationError) as error:
        log.warning("the account of kind %s of model %s cannot be read: %s", row.kind, row.model, error)
        return had


def without_layers(measured: Measurements) -> Measurements:
    """The same without what there is of each layer."""
    if measured.control is None:
        return measured
    result = measured.control.result.model_copy(update={"layers": None})
    return measured.model_copy(update={"control": measured.control.model_copy(update={"result": result})})


def thresholds(measured: Measurements) -> dict[tuple[View, Lens, int], LayerThreshold]:
    """Where noise ends, by view, lens and layer; empty if there was no control."""
    layers = measured.control.result.layers if measured.control else None
    return {(one.view, one.lens, one.layer): one for one in layers or ()}
