"""What a label file says of itself, for the card of a repository: asked of the file, without the paths it may hold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from neuronym.contract import Measurements, mapped_layers
from neuronym.label_tables import build, measurement, model, outdated_models, pair
from neuronym.library import LabelFileEntry, label_file
from neuronym.settings import Settings
from worker.hub.base_models import Origins
from worker.hub.repository import ENDING
from worker.labelfile.foreign_model import without_paths
from worker.labelfile.label_file import read_file
from worker.library.current import read_library, unknown_name
from worker.library.published import published_pair


@dataclass(frozen=True)
class ModelFacts:
    """A model's file: its run and schema, the row of the model, and the kinds of its measurements."""

    run: str
    schema: str
    row: Mapping[str, Any]
    measured: frozenset[str]

    @property
    def settings(self) -> Mapping[str, Any]:
        """How it was mapped."""
        settings: Mapping[str, Any] = json.loads(self.row["settings"])
        return settings

    @property
    def file(self) -> str:
        """What its file is called, where it is given to others."""
        return f"{self.row['name']}{ENDING}"

    @property
    def layers(self) -> range:
        """The layers that have labels."""
        return mapped_layers(self.settings, self.row["layers"])

    @property
    def not_measured(self) -> list[str]:
        """The kinds of measurements that it lacks."""
        return sorted(Measurements.model_fields.keys() - self.measured)


@dataclass(frozen=True)
class PairFacts:
    """A pair's file: its run and schema, the row of the pair, and those of its models that were mapped again since."""

    run: str
    schema: str
    row: Mapping[str, Any]
    outdated: Sequence[str]

    @property
    def file(self) -> str:
        """What its file is called, where it is given to others."""
        return f"{self.row['name']}{ENDING}"


@dataclass(frozen=True)
class Contents:
    """What is pushed together: a model, or a pair with both its models."""

    name: str
    models: Sequence[ModelFacts]
    pair: PairFacts | None

    @property
    def files(self) -> Sequence[ModelFacts | PairFacts]:
        """All of them, models first, as a pair comes in after its models."""
        return [*self.models, self.pair] if self.pair else self.models

    @property
    def schema(self) -> str:
        """The revision of the schema of all files, which is this version's."""
        return self.models[0].schema

    @property
    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of the models."""
        return [facts.row for facts in self.models]


@dataclass(frozen=True)
class Terms:
    """Where labels come from, and the licence they are given under, if any."""

    origins: Origins
    licence: str | None


def read_contents(name: str, settings: Settings) -> Contents:
    """Read what there is to push of a model, or else of a pair.

    Raises:
        LabelFileError: there is no such name, or a file cannot be read.
    """
    data, library = settings.data, read_library(settings.data)
    if entry := library.find("model", name):
        return Contents(name, [_model_facts(data, entry)], None)
    entry, roles = library.find("pair", name), published_pair(data, name)
    if entry is None or roles is None:
        raise unknown_name(library, name)
    found = [library.find("model", role) for role in roles]
    models = [_model_facts(data, one) for one in found if one]
    return Contents(name, models, _pair_facts(data, entry, models))


def read_run(path: Path) -> str:
    """The run that a label file is of."""
    with read_file(path) as connection:
        return _build(connection)[0]


def _model_facts(data: Path, entry: LabelFileEntry) -> ModelFacts:
    with read_file(label_file(data, "model", entry)) as connection:
        row = dict(connection.execute(sa.select(model)).mappings().one())
        kinds = connection.scalars(sa.select(measurement.c.kind)).all()
        return ModelFacts(*_build(connection), without_paths(row), frozenset(kinds))


def _pair_facts(data: Path, entry: LabelFileEntry, models: Sequence[ModelFacts]) -> PairFacts:
    mapped_in = {facts.row["name"]: facts.row["mapped_in"] for facts in models}
    with read_file(label_file(data, "pair", entry)) as connection:
        row = dict(connection.execute(sa.select(pair)).mappings().one())
        return PairFacts(*_build(connection), row, outdated_models(row, mapped_in))


def _build(connection: sa.Connection) -> tuple[str, str]:
    """The run of a file, and the revision of its schema."""
    run = connection.scalars(sa.select(build.c.run)).one()
    return run, str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))
