"""Queries of the worker on the models and pairs of the library.

Knows tables; knows nothing of how a label file is built.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from neuronym.contract import Side, Site, View, mapped_layers
from neuronym.label_tables import LABELS, QUANTILES, activity, label, label_place, measurement, model, pair
from neuronym.library import label_file
from worker.labelfile.label_file import read_file
from worker.library.current import current_file, read_library


@dataclass(frozen=True)
class PublishedModel:
    """A mapped model: where it came from, how and by which version it was mapped, and the kinds of its measurements."""

    name: str
    source: str
    revision: str | None
    source_hash: str
    adapter: str | None
    tokenizer: str
    settings: Mapping[str, Any]
    version: str
    mapped_at: str
    mapped_in: str
    layers: range
    measured: frozenset[str]

    @property
    def views(self) -> list[View]:
        """The views that are mapped."""
        return [View(view) for view in self.settings["views"]]


def published_models(data: Path) -> list[PublishedModel]:
    """The models of the library, in the order in which they were first mapped."""
    return [read_model(label_file(data, "model", entry)) for entry in read_library(data).models]


def published_model(data: Path, name: str) -> PublishedModel | None:
    """The model `name` of the library, if there is one."""
    entry = read_library(data).find("model", name)
    return read_model(label_file(data, "model", entry)) if entry else None


def read_model(path: Path) -> PublishedModel:
    """The model of a label file."""
    wanted = ("name", "source", "revision", "source_hash", "adapter", "tokenizer", "mapped_at", "mapped_in")
    with read_file(path) as connection:
        row = connection.execute(sa.select(model)).mappings().one()
        kinds = connection.scalars(sa.select(measurement.c.kind)).all()
    settings = json.loads(row["settings"])
    return PublishedModel(
        **{name: row[name] for name in wanted},
        settings=settings,
        version=json.loads(row["versions"])["neuronym"],
        layers=mapped_layers(settings, row["layers"]),
        measured=frozenset(kinds),
    )


def published_pair(data: Path, name: str) -> tuple[str, str] | None:
    """The names of base and instruct model of the pair `name` of the library, if there is one."""
    entry = read_library(data).find("pair", name)
    if entry is None:
        return None
    with read_file(label_file(data, "pair", entry)) as connection:
        base, instruct = connection.execute(sa.select(pair.c.base, pair.c.instruct)).one()
    return base, instruct


def published_tokens(data: Path, name: str) -> NDArray[np.int32]:
    """The token id at each end of a model's labels, `(labels, layers, neurons)` by `label_place`; -1 for no token."""
    ends = sa.select(
        label.c.view, label.c.lens, label.c.layer, label.c.neuron, label.c.top_ids[1], label.c.bottom_ids[1]
    )
    with read_file(current_file(data, "model", name)) as connection:
        tokens = np.full((LABELS, *_shape(connection)), -1, np.int32)
        for view, lens, *place, highest, lowest in connection.execute(ends):
            tokens[label_place(view, lens), *place] = highest
            if lowest is not None:  # None where the model was mapped without lowest tokens
                tokens[label_place(view, lens, Side.bottom), *place] = lowest
    return tokens


def published_ranges(data: Path, name: str, site: Site, quantile: float) -> NDArray[np.float32]:
    """A quantile of every neuron's values on text, `(layers, neurons)`; nan where a neuron was not measured."""
    quantile_column = activity.c.quantiles[QUANTILES.index(quantile) + 1]
    wanted = sa.select(activity.c.layer, activity.c.neuron, quantile_column).where(activity.c.site == site)
    with read_file(current_file(data, "model", name)) as connection:
        values = np.full(_shape(connection), np.nan, np.float32)
        for layer, neuron, value in connection.execute(wanted):
            values[layer, neuron] = value
    return values


def _shape(connection: sa.Connection) -> tuple[int, int]:
    """The number of layers, and of neurons in each."""
    layers, neurons = connection.execute(sa.select(model.c.layers, model.c.neurons)).one()
    return layers, neurons
