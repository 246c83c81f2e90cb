"""Fill a new label file: new models from shards, the rest from the current file, then the derived tables.

Works on an open connection to a file whose tables are created; opens and publishes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from neuronym import label_tables
from neuronym.contract import mapped_layers
from neuronym.label_tables import metadata
from worker.errors import LabelFileError
from worker.labelfile import derived
from worker.labelfile.search_rows import insert_search_rows
from worker.mapping.mapping import MappedModel
from worker.mapping.noise_level import NoiseLevel, noise_level
from worker.mapping.pairs import MappedPair
from worker.mapping.shards import ShardFolder

OLD = "old"
SORTED_BY = {
    "label": ("view", "lens", "layer", "neuron"),
    "neighbour": ("view", "layer", "neuron"),
    "activity": ("site", "layer", "neuron"),
    "effect": ("site", "direction", "layer", "neuron"),
}


@dataclass(frozen=True)
class MeasuredTable:
    """A measurement of a mapped model: shards of rows of `table`, how it was made, and its overall result."""

    model: str
    table: Literal["activity", "effect"]
    shards: ShardFolder
    settings: Mapping[str, object]
    result: Mapping[str, object]
    seconds: float


class Contents:
    """The contents of a new label file; `old` is the current file, if any."""

    def __init__(self, connection: sa.Connection, old: Path | None) -> None:
        self._connection = connection
        self._old_columns: dict[str, list[str]] = {}
        self._grown: set[int] = set()  # ids of renewed models that have more layers mapped than before
        if old is not None:
            self._run(f"ATTACH '{_quoted(old)}' AS {OLD} (READ_ONLY)")
            self._old_columns = self._read_old_columns()

    def detach(self) -> None:
        """Detach the current file."""
        if self._old_columns:
            self._run(f"DETACH {OLD}")

    def add_models(self, mapped: Sequence[MappedModel], measured: Sequence[MeasuredTable] = ()) -> None:
        """Add old and new models and their measurements, in order of id, so that every large table comes out sorted."""
        self._copy("tokenizer", order="id")
        self._copy("token", order="tokenizer, id")
        self._copy("model", order="id")
        new = {self._register_model(model): model for model in mapped}
        measurements: dict[tuple[int, str], MeasuredTable] = {
            (self._model_id(table.model), table.table): table for table in measured
        }
        outdated = {(model_id, "effect") for model_id in self._grown}  # of a part; activity covers all layers
        for model_id in self._column(f"SELECT id FROM {label_tables.model.name} ORDER BY id"):
            for table in SORTED_BY:
                if model_id in new and table in ("label", "neighbour"):
                    self._load(table, model_id, new[model_id].shards.shards(table, new[model_id].layers))
                elif (model_id, table) in measurements:
                    self._load(table, model_id, measurements[model_id, table].shards.shards(table))
                elif (model_id, table) not in outdated:
                    # a renewed model has the same weights, so its measurements still hold
                    self._copy(table, f"model = {model_id}", order=", ".join(SORTED_BY[table]))
        self._copy("measurement", order="model, pair, kind")
        for model_id, kind in outdated:
            self._delete_measurement(model_id, kind)
        for model_id, model in new.items():
            self._record(model_id, "control", noise_level(model.shards, model.layers))
        for (model_id, table), measurement in measurements.items():
            self._record(model_id, table, measurement)
        self._connection.commit()

    def _record(self, model_id: int, kind: str, measurement: MeasuredTable | NoiseLevel) -> None:
        """Write the row of a measurement, replacing an earlier one of its kind."""
        self._delete_measurement(model_id, kind)
        self._connection.execute(
            sa.insert(label_tables.measurement).values(
                model=model_id,
                kind=kind,
                settings=json.dumps(measurement.settings),
                result=json.dumps(measurement.result),
                measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=measurement.seconds,
            )
        )

    def _delete_measurement(self, model_id: int, kind: str) -> None:
        table = label_tables.measurement
        self._connection.execute(sa.delete(table).where(table.c.model == model_id, table.c.kind == kind))

    def add_pairs(self, pairs: Sequence[MappedPair]) -> None:
        """Add old and new pairs; fill the temporary table `moved` with how far each neuron's rows moved."""
        self._run("CREATE TEMP TABLE moved (pair SMALLINT, view SMALLINT, layer SMALLINT, neuron INT, cosine REAL)")
        self._copy("pair", order="id")
        new = {self._register_pair(pair): pair for pair in pairs}
        if "drift" in self._old_columns:
            self._run(
                f"INSERT INTO moved SELECT DISTINCT pair, view, layer, neuron, cosine FROM {OLD}.drift "
                f"WHERE NOT list_contains({list(new)}, pair)"
            )
        for pair_id, pair in new.items():
            self._run(
                f"INSERT INTO moved SELECT {pair_id}, view, layer, neuron, cosine "
                f"FROM {_parquet(pair.shards.shards('drift', pair.part))}"
            )
        self._connection.commit()

    def _register_pair(self, pair: MappedPair) -> int:
        """Write the row of a new or renewed pair and return its id."""
        table = label_tables.pair
        ids = {name: self._model_id(name) for name in (pair.base, pair.instruct)}
        values = {"name": pair.name, "base": ids[pair.base], "instruct": ids[pair.instruct], "note": pair.note}
        existing = self._connection.execute(sa.select(table).where(table.c.name == pair.name)).mappings().first()
        if existing and (existing["base"], existing["instruct"]) != (values["base"], values["instruct"]):
            raise pair_name_taken(pair.name)
        if existing:
            return int(existing["id"])
        pair_id = self._next_id("pair")
        self._connection.execute(sa.insert(table).values(id=pair_id, **values))
        return pair_id

    def _model_id(self, name: str) -> int:
        return int(
            self._connection.scalars(sa.select(label_tables.model.c.id).where(label_tables.model.c.name == name)).one()
        )

    def _register_model(self, model: MappedModel) -> int:
        """Write the row and the tokenizer of a new or renewed model and return the model's id."""
        checkpoint, table = model.checkpoint, label_tables.model
        existing = self._connection.execute(sa.select(table).where(table.c.name == model.name)).mappings().first()
        if existing and existing["source_hash"] != checkpoint.source_hash:
            raise name_taken(model.name, existing["source"])
        if existing:
            if mapped_layers(json.loads(existing["settings"]), existing["layers"]) != model.layers:
                self._grown.add(existing["id"])
            self._connection.execute(sa.delete(table).where(table.c.id == existing["id"]))
        model_id = existing["id"] if existing else self._next_id("model")
        self._connection.execute(
            sa.insert(table).values(id=model_id, tokenizer=self._tokenizer_id(model), **model.record())
        )
        return int(model_id)

    def _tokenizer_id(self, model: MappedModel) -> int:
        """The id of the model's tokenizer; write it with its tokens unless another model has the same."""
        table = label_tables.tokenizer
        known = self._connection.scalar(sa.select(table.c.id).where(table.c.hash == model.vocabulary.hash))
        if known is not None:
            return int(known)
        tokenizer_id = self._next_id("tokenizer")
        self._connection.execute(
            sa.insert(table).values(
                id=tokenizer_id,
                hash=model.vocabulary.hash,
                vocab=len(model.vocabulary.entries),
                json=model.vocabulary.json,
            )
        )
        self._run(
            f"INSERT INTO token (tokenizer, id, text, folded, kind) SELECT {tokenizer_id}, id, text, folded, kind "
            f"FROM {_parquet(model.shards.shards('token'))} ORDER BY id"
        )
        return tokenizer_id

    def _load(self, table: str, model_id: int, shards: Sequence[Path]) -> None:
        """Load a model's rows of a table from shards."""
        if not shards:
            raise LabelFileError(f"There are no {table} shards to load. Run the mapping again.")
        source = _parquet(shards)
        columns = ", ".join(self._column(f"SELECT column_name FROM (DESCRIBE SELECT * FROM {source})"))
        order = ", ".join(SORTED_BY[table])
        self._run(f"INSERT INTO {table} (model, {columns}) SELECT {model_id}, {columns} FROM {source} ORDER BY {order}")

    def _copy(self, table: str, where: str = "true", *, order: str) -> None:
        """Copy a table's rows from the current file, in the columns that both schemas have."""
        common = [column.name for column in metadata.tables[table].c if column.name in self._old_columns.get(table, [])]
        if common:
            columns = ", ".join(common)
            self._run(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {OLD}.{table} WHERE {where} ORDER BY {order}"
            )

    def old_search_rows(self) -> int:
        """The number of search rows in the current file."""
        return int(self._column(f"SELECT count(*) FROM {OLD}.label_by_token")[0]) if self._old_columns else 0

    def derive(self, at_once: int) -> None:
        """Fill the tables that are derived from others; search rows about `at_once` at a time."""
        for statement in derived.IN_ORDER:
            self._run(statement)
        insert_search_rows(self._connection, at_once)
        self._connection.commit()

    def _read_old_columns(self) -> dict[str, list[str]]:
        rows = self._connection.execute(
            sa.text("SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = :old"), {"old": OLD}
        )
        columns: dict[str, list[str]] = {}
        for table, column in rows:
            columns.setdefault(table, []).append(column)
        return columns

    def _next_id(self, table: str) -> int:
        return int(self._column(f"SELECT coalesce(max(id) + 1, 0) FROM {table}")[0])

    def _column(self, statement: str) -> list[Any]:
        return list(self._connection.scalars(sa.text(statement)))

    def _run(self, statement: str) -> None:
        self._connection.execute(sa.text(statement.replace(":", r"\:")))


def name_taken(name: str, source: str) -> LabelFileError:
    """The refusal of a model whose name another one has, which was mapped from `source`."""
    return LabelFileError(f"The name {name!r} is taken by a model with other weights ({source}). Give --name.")


def pair_name_taken(name: str) -> LabelFileError:
    """The refusal of a pair whose name another one has."""
    return LabelFileError(f"The pair {name!r} stands for two other models. Give --pair-name.")


def _parquet(files: Sequence[Path]) -> str:
    listed = ", ".join(f"'{_quoted(file)}'" for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"  # a folder `a=b` on the way to them is no column


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("'", "''")
