"""What goes into a label file: new models from shards, everything else from the current file, then what follows
from both.

Works on an open connection to a file that has its tables; opens and publishes nothing.
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
from worker.mapping.mapping import Mapped
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
class Measured:
    """What was measured on a mapped model: rows of `table`, and how and with what outcome as a whole."""

    model: str
    table: Literal["activity", "effect"]
    shards: ShardFolder
    settings: Mapping[str, object]
    result: Mapping[str, object]
    seconds: float


class Contents:
    """Fills a new label file. `old` is the current file, if there is one."""

    def __init__(self, connection: sa.Connection, old: Path | None) -> None:
        self._connection = connection
        self._old_columns: dict[str, list[str]] = {}
        self._grown: set[int] = set()  # renewed models of which more layers are mapped than were
        if old is not None:
            self._run(f"ATTACH '{_quoted(old)}' AS {OLD} (READ_ONLY)")
            self._old_columns = self._read_old_columns()

    def detach(self) -> None:
        """Let go of the current file."""
        if self._old_columns:
            self._run(f"DETACH {OLD}")

    def add_models(self, mapped: Sequence[Mapped], measured: Sequence[Measured] = ()) -> None:
        """Old models and new ones with their measurements, in order of id: every large table comes out sorted."""
        self._copy("tokenizer", order="id")
        self._copy("token", order="tokenizer, id")
        self._copy("model", order="id")
        new = {self._register(one): one for one in mapped}
        measurements: dict[tuple[int, str], Measured] = {
            (self._model_id(one.model), one.table): one for one in measured
        }
        outdated = {(model_id, "effect") for model_id in self._grown}  # of a part; activity is that of all layers
        for model_id in self._column(f"SELECT id FROM {label_tables.model.name} ORDER BY id"):
            for table in SORTED_BY:
                if model_id in new and table in ("label", "neighbour"):
                    self._ingest(table, model_id, new[model_id].shards.shards(table, new[model_id].layers))
                elif (model_id, table) in measurements:
                    self._ingest(table, model_id, measurements[model_id, table].shards.shards(table))
                elif (model_id, table) not in outdated:
                    # a renewed model has the weights it had: what was measured on it still holds
                    self._copy(table, f"model = {model_id}", order=", ".join(SORTED_BY[table]))
        self._copy("measurement", order="model, pair, kind")
        for model_id, kind in outdated:
            self._forget(model_id, kind)
        for model_id, mapped_one in new.items():
            self._record(model_id, "control", noise_level(mapped_one.shards, mapped_one.layers))
        for (model_id, table), one in measurements.items():
            self._record(model_id, table, one)
        self._connection.commit()

    def _record(self, model_id: int, kind: str, one: Measured | NoiseLevel) -> None:
        """How a measurement was made, in place of an earlier one of its kind."""
        self._forget(model_id, kind)
        self._connection.execute(
            sa.insert(label_tables.measurement).values(
                model=model_id,
                kind=kind,
                settings=json.dumps(one.settings),
                result=json.dumps(one.result),
                measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
                seconds=one.seconds,
            )
        )

    def _forget(self, model_id: int, kind: str) -> None:
        table = label_tables.measurement
        self._connection.execute(sa.delete(table).where(table.c.model == model_id, table.c.kind == kind))

    def add_pairs(self, pairs: Sequence[MappedPair]) -> None:
        """Old pairs and new ones, and in `moved` how far each of their rows moved."""
        self._run("CREATE TEMP TABLE moved (pair SMALLINT, view SMALLINT, layer SMALLINT, neuron INT, cosine REAL)")
        self._copy("pair", order="id")
        new = {self._register_pair(one): one for one in pairs}
        if "drift" in self._old_columns:
            self._run(
                f"INSERT INTO moved SELECT DISTINCT pair, view, layer, neuron, cosine FROM {OLD}.drift "
                f"WHERE NOT list_contains({list(new)}, pair)"
            )
        for pair_id, one in new.items():
            self._run(
                f"INSERT INTO moved SELECT {pair_id}, view, layer, neuron, cosine "
                f"FROM {_parquet(one.shards.shards('drift', one.part))}"
            )
        self._connection.commit()

    def _register_pair(self, one: MappedPair) -> int:
        """The id of a new or renewed pair, its row written."""
        table = label_tables.pair
        ids = {name: self._model_id(name) for name in (one.base, one.instruct)}
        values = {"name": one.name, "base": ids[one.base], "instruct": ids[one.instruct], "note": one.note}
        taken = self._connection.execute(sa.select(table).where(table.c.name == one.name)).mappings().first()
        if taken and (taken["base"], taken["instruct"]) != (values["base"], values["instruct"]):
            raise LabelFileError(f"The pair {one.name!r} stands for two other models. Give --pair-name.")
        if taken:
            return int(taken["id"])
        pair_id = self._next_id("pair")
        self._connection.execute(sa.insert(table).values(id=pair_id, **values))
        return pair_id

    def _model_id(self, name: str) -> int:
        return int(
            self._connection.scalars(sa.select(label_tables.model.c.id).where(label_tables.model.c.name == name)).one()
        )

    def _register(self, one: Mapped) -> int:
        """The id of a new or renewed model, its row and its tokenizer written."""
        checkpoint, table = one.checkpoint, label_tables.model
        taken = self._connection.execute(sa.select(table).where(table.c.name == one.name)).mappings().first()
        if taken and taken["source_hash"] != checkpoint.source_hash:
            raise LabelFileError(
                f"The name {one.name!r} is taken by a model with other weights ({taken['source']}). Give --name."
            )
        if taken:
            if mapped_layers(json.loads(taken["settings"]), taken["layers"]) != one.layers:
                self._grown.add(taken["id"])
            self._connection.execute(sa.delete(table).where(table.c.id == taken["id"]))
        model_id = taken["id"] if taken else self._next_id("model")
        self._connection.execute(
            sa.insert(table).values(id=model_id, tokenizer=self._tokenizer_id(one), **one.record())
        )
        return int(model_id)

    def _tokenizer_id(self, one: Mapped) -> int:
        """The id of the model's tokenizer, written with its tokens unless another model brought it."""
        table = label_tables.tokenizer
        known = self._connection.scalar(sa.select(table.c.id).where(table.c.hash == one.vocabulary.hash))
        if known is not None:
            return int(known)
        tokenizer_id = self._next_id("tokenizer")
        self._connection.execute(
            sa.insert(table).values(
                id=tokenizer_id,
                hash=one.vocabulary.hash,
                vocab=len(one.vocabulary.entries),
                json=one.vocabulary.json,
            )
        )
        self._run(
            f"INSERT INTO token (tokenizer, id, text, folded, kind) SELECT {tokenizer_id}, id, text, folded, kind "
            f"FROM {_parquet(one.shards.shards('token'))} ORDER BY id"
        )
        return tokenizer_id

    def _ingest(self, table: str, model_id: int, shards: Sequence[Path]) -> None:
        """A model's rows from its shards."""
        if not shards:
            raise LabelFileError(f"There are no {table} shards to load. Run the mapping again.")
        source = _parquet(shards)
        columns = ", ".join(self._column(f"SELECT column_name FROM (DESCRIBE SELECT * FROM {source})"))
        order = ", ".join(SORTED_BY[table])
        self._run(f"INSERT INTO {table} (model, {columns}) SELECT {model_id}, {columns} FROM {source} ORDER BY {order}")

    def _copy(self, table: str, where: str = "true", *, order: str) -> None:
        """Rows of the current file, by the columns that both schemas have."""
        common = [column.name for column in metadata.tables[table].c if column.name in self._old_columns.get(table, [])]
        if common:
            columns = ", ".join(common)
            self._run(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {OLD}.{table} WHERE {where} ORDER BY {order}"
            )

    def old_search_rows(self) -> int:
        """How many the current file has."""
        return int(self._column(f"SELECT count(*) FROM {OLD}.label_by_token")[0]) if self._old_columns else 0

    def derive(self, at_once: int) -> None:
        """The tables that follow from the others; search rows `at_once` at a time."""
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


def _parquet(files: Sequence[Path]) -> str:
    listed = ", ".join(f"'{_quoted(file)}'" for file in files)
    return f"read_parquet([{listed}])"


def _quoted(path: Path) -> str:
    return str(path.resolve()).replace("'", "''")
