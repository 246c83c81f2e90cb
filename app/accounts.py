"""The accounts of what was measured on each model, as a label file keeps them.

An account that this version cannot read is left out with a line in the log: labels do not depend on it.
"""

import json
import logging
from collections import defaultdict
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from app.contract import LayerThreshold, Lens, Measurements, View
from app.schema import measurement

log = logging.getLogger(__name__)


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
