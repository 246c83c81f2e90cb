"""Queries of the worker on the current label file.

Knows tables; knows nothing of how a label file is built.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from neuronym.contract import Side, Site, mapped_layers
from neuronym.label_tables import LABELS, QUANTILES, activity, label, label_place, measurement, model, pair
from worker.labelfile.build import CURRENT, current_file


@dataclass(frozen=True)
class PublishedModel:
    """The source of a mapped model."""

    name: str
    source: str
    revision: str | None
    source_hash: str
    adapter: str | None


def published_models(data: Path) -> list[PublishedModel]:
    """The models of the current label file, in the order that they were mapped; none without a file."""
    if not (data / CURRENT).exists():
        return []
    wanted = [model.c[name] for name in PublishedModel.__dataclass_fields__]
    with current_file(data) as connection:
        return [PublishedModel(*row) for row in connection.execute(sa.select(*wanted).order_by(model.c.id))]


def published_pairs(data: Path) -> dict[str, tuple[str, str]]:
    """The names of base and instruct model of each pair of the current label file, by its name; none without a file."""
    if not (data / CURRENT).exists():
        return {}
    base, instruct = model.alias("base"), model.alias("instruct")
    pairs = (
        sa.select(pair.c.name, base.c.name, instruct.c.name)
        .join(base, base.c.id == pair.c.base)
        .join(instruct, instruct.c.id == pair.c.instruct)
    )
    with current_file(data) as connection:
        return {name: (first, second) for name, first, second in connection.execute(pairs)}


def published_layers(data: Path) -> dict[str, range]:
    """The mapped layers of each model of the current label file, by name; none without a file."""
    if not (data / CURRENT).exists():
        return {}
    with current_file(data) as connection:
        models = connection.execute(sa.select(model.c.name, model.c.settings, model.c.layers))
        return {name: mapped_layers(json.loads(settings), layers) for name, settings, layers in models}


def published_tokens(data: Path, name: str) -> NDArray[np.int32]:
    """The token id at each end of a model's labels, `(labels, layers, neurons)` by `label_place`; -1 for no token."""
    ends = sa.select(
        label.c.view, label.c.lens, label.c.layer, label.c.neuron, label.c.top_ids[1], label.c.bottom_ids[1]
    )
    shape = sa.select(model.c.layers, model.c.neurons).where(model.c.name == name)
    with current_file(data) as connection:
        tokens = np.full((LABELS, *connection.execute(shape).one()), -1, np.int32)
        for view, lens, *place, highest, lowest in connection.execute(
            ends.join(model, model.c.id == label.c.model).where(model.c.name == name)
        ):
            tokens[label_place(view, lens), *place] = highest
            if lowest is not None:  # None where the model was mapped without lowest tokens
                tokens[label_place(view, lens, Side.bottom), *place] = lowest
    return tokens


def published_measurements(data: Path) -> set[tuple[str, str]]:
    """The measurements in the current label file: pairs of model name and kind."""
    kinds = sa.select(model.c.name, measurement.c.kind).join(measurement, measurement.c.model == model.c.id)
    with current_file(data) as connection:
        return {(name, kind) for name, kind in connection.execute(kinds)}


def published_ranges(data: Path, name: str, site: Site, quantile: float) -> NDArray[np.float32]:
    """A quantile of every neuron's values on text, `(layers, neurons)`; nan where a neuron was not measured."""
    quantile_column = activity.c.quantiles[QUANTILES.index(quantile) + 1]
    wanted = sa.select(activity.c.layer, activity.c.neuron, quantile_column).join(model, model.c.id == activity.c.model)
    shape = sa.select(model.c.layers, model.c.neurons).where(model.c.name == name)
    with current_file(data) as connection:
        values = np.full(connection.execute(shape).one(), np.nan, np.float32)
        for layer, neuron, value in connection.execute(wanted.where(model.c.name == name, activity.c.site == site)):
            values[layer, neuron] = value
    return values
