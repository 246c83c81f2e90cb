"""The check that a model's new file is complete: each label of each mapped layer once, each token searchable.

Works on an open connection. Knows tables only.
"""

import json
from typing import Any

import sqlalchemy as sa

from neuronym import label_tables
from neuronym.contract import mapped_layers
from worker.errors import LabelFileError

_LABELS = """
    SELECT count(*), count(DISTINCT (view, lens, layer, expert, neuron)) FILTER (layer BETWEEN :first AND :last)
    FROM label"""


def check_complete(connection: sa.Connection) -> None:
    """Check that each neuron of the mapped layers has one label a view and lens, and each label token a search row.

    Raises:
        LabelFileError: a label or search row is missing or doubled.
    """
    _check_labels(connection, connection.execute(sa.select(label_tables.model)).mappings().one())
    tokens = connection.scalar(sa.text("SELECT coalesce(sum(len(top_ids) + len(bottom_ids)), 0) FROM label"))
    searchable = connection.scalar(sa.text("SELECT count(*) FROM label_by_token"))
    if tokens != searchable:
        raise LabelFileError(f"{searchable:,} of {tokens:,} label tokens can be searched. Map again with --fresh.")


def _check_labels(connection: sa.Connection, model: sa.RowMapping) -> None:
    settings: dict[str, Any] = json.loads(model["settings"])
    layers = mapped_layers(settings, model["layers"])
    expected = len(layers) * model["neurons"] * len(settings["views"]) * len(settings["lenses"])
    loaded, distinct = connection.execute(sa.text(_LABELS), {"first": layers[0], "last": layers[-1]}).one()
    if not loaded == distinct == expected:
        raise LabelFileError(
            f"{model['name']} should have {expected:,} labels, but {loaded:,} were loaded, {distinct:,} of them "
            "different. Map it again with --fresh."
        )
