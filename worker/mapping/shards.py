"""Shards, the files of a run that is under way: one Parquet file a layer, table and view, each whole or absent.

A shard gets its name only once it is complete, so a killed run continues at the first missing layer. Knows nothing of
DuckDB, models or lenses.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from neuronym.contract import View
from neuronym.library import UNFINISHED
from worker.errors import LabelFileError

GO_ON = (
    "Free some space or choose another folder with NEURONYM_DATA, and run the same command: it goes on where it was."
)
Account = Mapping[str, str | int]


def encode_shard(rows: pa.Table, account: Account | None = None) -> bytes:
    """Encode rows as a shard's content: Parquet, with an `account` of how the rows were computed as metadata."""
    if account:
        rows = rows.replace_schema_metadata({"account": json.dumps(account)})
    content = pa.BufferOutputStream()
    pq.write_table(rows, content, compression="zstd")
    return bytes(content.getvalue())


def view_table(table: str, view: View) -> str:
    """What the shards of one view of a table are called: each view of a layer is mapped by itself."""
    return f"{table}-{view}"


class ShardFolder:
    """The folder of one model's shards under one recipe; with another recipe or other weights it starts empty.

    `origin` is the place that the weights come from, for people.
    """

    def __init__(self, data: Path, name: str, recipe: Mapping[str, object], origin: str = "") -> None:
        self.path = data / UNFINISHED / name
        self._origin = origin
        self._origin_file = self.path / "origin.txt"
        self._card = self.path / "recipe.json"
        self._recipe = json.dumps(recipe, sort_keys=True, default=str)

    def origin_to_lose(self) -> str | None:
        """The origin of the labels that `open` would discard, if they are of other weights and from another place."""
        if not self.shards("label"):
            return None
        try:
            origin, recipe = self._origin_file.read_text(), json.loads(self._card.read_text())
        except (OSError, ValueError):  # the run was cut off while it wrote them
            return None
        same_weights = recipe.get("source") == json.loads(self._recipe).get("source")
        return None if same_weights or origin == self._origin else origin

    def open(self, resume: bool) -> None:
        """Keep the readable shards that a run of the same recipe left, if `resume`; discard everything else.

        Raises:
            LabelFileError: the disk is full, or the folder may not be written.
        """
        same_recipe = self._card.exists() and self._card.read_text() == self._recipe
        if not (resume and same_recipe):
            self.discard()
        for shard in self.path.glob("*.parquet"):
            if not _is_readable(shard):  # the layer is done again, with all its tables
                for other in self.path.glob(f"*-{shard.stem.rpartition('-')[2]}.parquet"):
                    other.unlink()
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._card.write_text(self._recipe)
            self._origin_file.write_text(self._origin)

    def shard(self, table: str, layer: int) -> Path:
        """The path of the shard with a table's rows of a layer."""
        return self.path / f"{table}-{layer:04d}.parquet"

    def has(self, table: str, layer: int) -> bool:
        """Whether the shard of a table and layer is written."""
        return self.shard(table, layer).exists()

    def write(self, table: str, layer: int, rows: pa.Table, account: Account | None = None) -> None:
        """Write a shard, whole or not at all; `account` says how its rows were computed.

        Raises:
            LabelFileError: the disk is full, or the folder may not be written.
        """
        self.put(table, layer, encode_shard(rows, account))

    def put(self, table: str, layer: int, content: bytes) -> None:
        """Write a shard of content that `encode_shard` made, whole or not at all."""
        final = self.shard(table, layer)
        unfinished = final.with_suffix(".unfinished")
        with writing(self.path):
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
        """The paths of a table's shards, in order of layer: of all layers, or of `layers`."""
        existing = sorted(self.path.glob(f"{table}-*.parquet"))
        wanted = {self.shard(table, layer) for layer in layers} if layers else existing
        return [shard for shard in existing if shard in wanted]

    def view_shards(self, table: str, views: Sequence[View], layers: range | None = None) -> list[Path]:
        """The paths of a table's shards of these views, in the order of views, then of layers."""
        return [shard for view in views for shard in self.shards(view_table(table, view), layers)]

    def discard(self) -> None:
        """Remove the folder and all its shards."""
        shutil.rmtree(self.path, ignore_errors=True)


def read_account(shards: Sequence[Path]) -> dict[str, str | int]:
    """Merge the accounts of shards: numbers summed, words listed."""
    total: dict[str, str | int] = {}
    for shard in shards:
        metadata = pq.read_schema(shard).metadata or {}
        for name, value in json.loads(metadata.get(b"account", b"{}")).items():
            known = total.get(name)
            if isinstance(value, str):
                words = {*str(known).split(", "), value} if known else {value}
                total[name] = ", ".join(sorted(words))
            else:
                total[name] = value + (int(known) if known else 0)
    return total


@contextmanager
def writing(folder: Path, mend: str = GO_ON) -> Iterator[None]:
    """Turn an error of the disk, or of rights, inside the block into a sentence that ends with `mend`.

    Raises:
        LabelFileError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise LabelFileError(f"{folder} cannot be written ({error.strerror or error}). {mend}") from error


def _is_readable(shard: Path) -> bool:
    """Whether every row of a shard can be read: damage must show at the start of a run, not at its end."""
    try:
        pq.read_table(shard)
    except (OSError, pa.ArrowException):
        return False
    return True


def column(tensor: Tensor | None, rows: int, kind: pa.DataType) -> pa.Array:
    """Convert a tensor to an Arrow column of `kind`: values of `(rows,)`, lists of `(rows, k)`, nulls of None."""
    if tensor is None:
        return pa.nulls(rows, kind)
    if tensor.dim() == 1:
        return pa.array(tensor.cpu().numpy()).cast(kind)
    flat = pa.array(tensor.flatten().cpu().numpy()).cast(kind)
    offsets = pa.array(range(0, tensor.numel() + 1, tensor.shape[1]), pa.int32())
    return pa.ListArray.from_arrays(offsets, flat)


def constant(value: int, rows: int) -> pa.Array:
    """A column with the same small integer in every row."""
    return pa.repeat(pa.scalar(value, pa.int16()), rows)
