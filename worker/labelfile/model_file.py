"""The label file of a model: what it is made of, and the building of it.

Rows come from shards of a mapping or a measurement, and from the model's file of before; the search rows are derived
from them. Opens files by `worker.labelfile.label_file`; publishes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from neuronym import label_tables
from neuronym.contract import mapped_layers
from worker.errors import LabelFileError
from worker.labelfile import derived
from worker.labelfile.completeness import check_complete
from worker.labelfile.label_file import BEFORE, now, read_file, write_file
from worker.labelfile.rows import insert_rows, shard_rows, token_rows_with_place
from worker.labelfile.search_rows import insert_search_rows
from worker.mapping.mapping import MappedModel
from worker.mapping.noise_level import TABLE as CONTROL
from worker.mapping.noise_level import noise_level
from worker.mapping.shards import ShardFolder

Row = Mapping[str, Any]


@dataclass(frozen=True)
class MeasuredTable:
    """A measurement of a mapped model: shards of rows of `table`, how it was made, and its overall result."""

    model: str
    table: Literal["activity", "effect"]
    shards: ShardFolder
    settings: Mapping[str, object]
    result: Mapping[str, object]
    seconds: float


@dataclass(frozen=True)
class ModelContents:
    """What the file of a model is made of, but for what is derived.

    Args:
        model, tokenizer: the rows of these tables.
        measurements: the rows of that table, by kind.
        rows: SQL of the rows of each other table.
        source: the file that `rows` reads from under the name BEFORE, if any.
    """

    model: Row
    tokenizer: Row
    measurements: Mapping[str, Row]
    rows: Mapping[str, str]
    source: Path | None = None


def mapped_contents(model: MappedModel, run: str, before: Path | None) -> ModelContents:
    """The contents of a model just mapped; its measurements are kept from the file of before, as its weights are.

    The effect is not kept where other layers or views are mapped now: it was measured on a part. The activity covers
    all layers.

    Raises:
        LabelFileError: a shard is missing, or the file of before cannot be read.
    """
    vocabulary = model.vocabulary
    tables = ("label", "neighbour")
    rows = {table: shard_rows(_not_empty(table, model.shard_files(table))) for table in tables}
    rows["token"] = shard_rows(model.shards.shards("token"))
    measurements: dict[str, Row] = {}
    if before is not None:
        earlier = stored_contents(before)
        settings = json.loads(earlier.model["settings"])
        same_layers = mapped_layers(settings, earlier.model["layers"]) == model.layers
        same_views = set(settings["views"]) == set(model.recipe.views)
        kept = {"activity", "effect"} if same_layers and same_views else {"activity"}
        rows |= {table: earlier.rows[table] for table in kept}
        measurements = {kind: row for kind, row in earlier.measurements.items() if kind in kept}
    control = noise_level(model.shard_files(CONTROL))
    measurements["control"] = _measurement("control", control.settings, control.result, control.seconds)
    return ModelContents(
        model={**model.record(), "tokenizer": vocabulary.hash, "mapped_in": run},
        tokenizer={"hash": vocabulary.hash, "vocab": len(vocabulary.entries), "json": vocabulary.json},
        measurements=measurements,
        rows=rows,
        source=before,
    )


def measured_contents(tables: Sequence[MeasuredTable], before: Path) -> ModelContents:
    """The contents of a model's file with new measurements in place of those that it had.

    Raises:
        LabelFileError: a shard is missing, or the file of before cannot be read.
    """
    earlier = stored_contents(before)
    rows, measurements = dict(earlier.rows), dict(earlier.measurements)
    for table in tables:
        rows[table.table] = shard_rows(_not_empty(table.table, table.shards.shards(table.table)))
        measurements[table.table] = _measurement(table.table, table.settings, table.result, table.seconds)
    return ModelContents(earlier.model, earlier.tokenizer, measurements, rows, before)


def stored_contents(path: Path) -> ModelContents:
    """The contents of a model's file as they are.

    Raises:
        LabelFileError: the file cannot be read.
    """
    tables = label_tables
    with read_file(path) as connection:
        model, tokenizer = (
            dict(connection.execute(sa.select(*table.c)).mappings().one()) for table in (tables.model, tables.tokenizer)
        )
        measured = connection.execute(sa.select(*tables.measurement.c)).mappings()
        measurements = {row["kind"]: dict(row) for row in measured}
    copied = ("token", "label", "neighbour", "activity", "effect")
    rows = {table: f"SELECT * FROM {BEFORE}.{table}" for table in copied}
    return ModelContents(model, tokenizer, measurements, rows, path)


def build_model_file(path: Path, run: str, contents: ModelContents, memory: int) -> None:
    """Write the file of a model, whole or not at all.

    Args:
        memory: the most that DuckDB may use, in bytes.

    Raises:
        LabelFileError: the disk is full, the memory too small, a source cannot be read, or a count is wrong.
    """
    sources = {BEFORE: contents.source} if contents.source else {}
    with write_file(path, run, memory, sources) as new:
        connection = new.connection
        connection.execute(sa.insert(label_tables.model).values(dict(contents.model)))
        connection.execute(sa.insert(label_tables.tokenizer).values(dict(contents.tokenizer)))
        for _, row in sorted(contents.measurements.items()):
            connection.execute(sa.insert(label_tables.measurement).values(dict(row)))
        for table, rows in {**contents.rows, "token": token_rows_with_place(contents.rows["token"])}.items():
            insert_rows(connection, table, rows)
        connection.commit()
        search_rows = connection.scalar(sa.text("SELECT sum(len(top_ids) + len(bottom_ids)) FROM label"))
        at_once = new.limit_memory(int(search_rows or 0))
        connection.execute(sa.text(derived.TRIALS))
        connection.execute(sa.text(derived.FIRST))
        insert_search_rows(connection, at_once)
        check_complete(connection)


def _not_empty(table: str, shards: Sequence[Path]) -> Sequence[Path]:
    if not shards:
        raise LabelFileError(f"There are no {table} shards to load. Run the mapping again.")
    return shards


def _measurement(kind: str, settings: Mapping[str, object], result: Mapping[str, Any], seconds: float) -> Row:
    """The row of a measurement made now."""
    return {
        "kind": kind,
        "settings": json.dumps(settings),
        "result": json.dumps(result),
        "measured_at": now(),
        "seconds": seconds,
    }
