"""What mapping leaves behind as it goes: one Parquet file a layer and table, each whole or absent.

A shard appears under its name only once it is complete, so a killed run continues at the first missing layer.
Knows the tables' columns by name; knows nothing of DuckDB, models or lenses.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from worker.errors import LabelFileError

FOLDER = ".mapping"
Account = Mapping[str, str | int]


def encoded(rows: pa.Table, account: Account | None = None) -> bytes:
    """A shard's content: Parquet, with an `account` of how its rows came about."""
    if account:
        rows = rows.replace_schema_metadata({"account": json.dumps(account)})
    content = pa.BufferOutputStream()
    pq.write_table(rows, content, compression="zstd")
    return bytes(content.getvalue())


class ShardFolder:
    """The shards of one model under one recipe. Another recipe, or changed weights, is another folder."""

    def __init__(self, data: Path, name: str, recipe: Mapping[str, object]) -> None:
        self.path = data / FOLDER / name
        self._card = self.path / "recipe.json"
        self._recipe = json.dumps(recipe, sort_keys=True, default=str)

    def open(self, resume: bool) -> None:
        """Keep what a run of the same recipe left and can still be read; discard anything else.

        Raises:
            LabelFileError: the disk is full, or the folder may not be written.
        """
        left_by_same = self._card.exists() and self._card.read_text() == self._recipe
        if not (resume and left_by_same):
            self.discard()
        for shard in self.path.glob("*.parquet"):
            if not _readable(shard):  # the layer is done again, with all its tables
                for other in self.path.glob(f"*-{shard.stem.rpartition('-')[2]}.parquet"):
                    other.unlink()
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._card.write_text(self._recipe)

    def shard(self, table: str, layer: int) -> Path:
        """Where a table's rows of a layer lie."""
        return self.path / f"{table}-{layer:04d}.parquet"

    def has(self, table: str, layer: int) -> bool:
        """Whether a layer is done."""
        return self.shard(table, layer).exists()

    def write(self, table: str, layer: int, rows: pa.Table, account: Account | None = None) -> None:
        """Write a shard, so that it is there whole or not at all; `account` says how its rows came about.

        Raises:
            LabelFileError: the disk is full, or the folder may not be written.
        """
        self.put(table, layer, encoded(rows, account))

    def put(self, table: str, layer: int, content: bytes) -> None:
        """The same with rows that are `encoded` already."""
        final = self.shard(table, layer)
        unfinished = final.with_suffix(".unfinished")
        with _writing(self.path):
            try:
                with unfinished.open("wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.rename(final)
            except OSError:
                unfinished.unlink(missing_ok=True)
                raise

    def shards(self, table: str, layers: range | None = None) -> list[Path]:
        """The shards of a table, in order of layer: all there are, or those of `layers`."""
        there = sorted(self.path.glob(f"{table}-*.parquet"))
        wanted = {self.shard(table, layer) for layer in layers} if layers else there
        return [shard for shard in there if shard in wanted]

    def account(self, table: str, layers: range | None = None) -> dict[str, str | int]:
        """The accounts of these shards as one: counts summed, words listed."""
        whole: dict[str, str | int] = {}
        for shard in self.shards(table, layers):
            metadata = pq.read_schema(shard).metadata or {}
            for name, value in json.loads(metadata.get(b"account", b"{}")).items():
                before = whole.get(name)
                if isinstance(value, str):
                    words = {*str(before).split(", "), value} if before else {value}
                    whole[name] = ", ".join(sorted(words))
                else:
                    whole[name] = value + (int(before) if before else 0)
        return whole

    def discard(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LabelFileError(
            f"{folder} cannot be written ({error.strerror or error}). Free some space or choose another folder with "
            "NEURONYM_DATA, and run the same command: it goes on where it was."
        ) from error


def _readable(shard: Path) -> bool:
    """Whether every row of a shard comes back; a damaged disk must not be found out at the end of a run."""
    try:
        pq.read_table(shard)
    except (OSError, pa.ArrowException):
        return False
    return True


def column(tensor: Tensor | None, rows: int, kind: pa.DataType) -> pa.Array:
    """A tensor as an Arrow column: `(rows,)` of `kind`, or `(rows, k)` as lists of it; None as nulls."""
    if tensor is None:
        return pa.nulls(rows, kind)
    if tensor.dim() == 1:
        return pa.array(tensor.cpu().numpy()).cast(kind)
    flat = pa.array(tensor.flatten().cpu().numpy()).cast(kind)
    offsets = pa.array(range(0, tensor.numel() + 1, tensor.shape[1]), pa.int32())
    return pa.ListArray.from_arrays(offsets, flat)


def constant(value: int, rows: int) -> pa.Array:
    """A small integer in every row."""
    return pa.repeat(pa.scalar(value, pa.int16()), rows)
