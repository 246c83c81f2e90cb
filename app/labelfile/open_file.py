"""Reads the small tables of one label file, when it is attached: its model with measurements, or its pair.

A measurement that this version cannot read is left out and logged: labels do not depend on it.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from app.labelfile.counterpart_records import CounterpartRecords
from app.labelfile.database import UnreadableFile
from app.labelfile.tables import FileTables
from neuronym.contract import Measurements
from neuronym.label_tables import CARRIED_OVER, REVISION, counterparts_file
from neuronym.library import FileKind, LabelFileEntry

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenFile:
    """A label file that is attached: of which model or pair, its path and tables, and what its small tables hold."""

    kind: FileKind
    entry: LabelFileEntry
    tables: FileTables
    path: Path
    row: sa.Row[Any]  # of the table `model` or `pair`
    built_at: str
    measurements: Measurements
    counterparts: CounterpartRecords | None  # of a pair


def read_file(
    connection: sa.Connection, kind: FileKind, entry: LabelFileEntry, tables: FileTables, path: Path
) -> OpenFile:
    """Read the small tables of an attached file.

    Raises:
        UnreadableFile: it is damaged, or of another version.
    """
    _check_revision(connection, tables.alias)
    try:
        row = connection.execute(sa.select(tables.model if kind == "model" else tables.pair)).one()
        built_at = connection.execute(sa.select(tables.build.c.built_at)).scalar_one()
        measurements = read_measurements(connection, entry.name, tables)
        labels = sa.select(sa.func.count()).select_from(tables.drift)
        counted = connection.execute(labels).scalar_one() if kind == "pair" else None
    except sa.exc.SQLAlchemyError as error:
        raise UnreadableFile(f"it is damaged. Map it again, or put {path.name} back from a copy.") from error
    counterparts = None if counted is None else CounterpartRecords(counterparts_file(path), counted)
    return OpenFile(kind, entry, tables, path, row, built_at, measurements, counterparts)


def _check_revision(connection: sa.Connection, alias: str) -> None:
    """Check that an attached file has the tables that this version reads.

    Raises:
        UnreadableFile: it has not.
    """
    try:
        revision = connection.execute(sa.text(f"SELECT version_num FROM {alias}.alembic_version")).scalar()
    except sa.exc.SQLAlchemyError as error:
        raise UnreadableFile("it is no label file.") from error
    if revision != REVISION:
        states = f"it has schema revision {revision}; this version reads {REVISION}."
        raise UnreadableFile(f"{states} {_mend(str(revision))}")


def _mend(revision: str) -> str:
    """What to do about a file of another revision."""
    if revision in CARRIED_OVER:
        return "Run `neuronym-worker upgrade` once: it carries everything over."
    return "Update Neuronym, or map again with this version." if revision > REVISION else "Map it again."


def read_measurements(connection: sa.Connection, model: str, tables: FileTables) -> Measurements:
    """Read the measurements of a model from its file."""
    measurements = Measurements()
    for row in connection.execute(sa.select(tables.measurement)):
        if row.kind in Measurements.model_fields:
            measurements = _add_measurement(measurements, model, row)
    return measurements


def _add_measurement(measurements: Measurements, model: str, row: sa.Row[Any]) -> Measurements:
    """Return the measurements with that of `row` added; unchanged, with a line in the log, if it cannot be read."""
    fields = {"measured_at": row.measured_at, "seconds": row.seconds}
    try:
        fields |= {"settings": json.loads(row.settings), "result": json.loads(row.result)}
        return Measurements.model_validate({**dict(measurements), row.kind: fields})
    except (ValueError, ValidationError) as error:
        log.warning("the account of kind %s of model %s cannot be read: %s", row.kind, model, error)
        return measurements
