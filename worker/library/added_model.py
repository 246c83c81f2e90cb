"""A model that is added from a file which somebody else made: what is checked, copied and built."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from neuronym.contract import name_layers
from neuronym.library import FileKind, is_name
from worker.checkpoints.sources import slug
from worker.errors import ForeignFileError, LabelFileError
from worker.labelfile.foreign_model import ForeignModel, read_foreign_model
from worker.labelfile.foreign_neurons import check_rows, check_tokens, copy_rows, table_statement
from worker.labelfile.foreign_rules import rules_of
from worker.labelfile.model_file import ModelContents
from worker.labelfile.rows import shard_rows
from worker.library.admission import check_name, name_taken
from worker.library.publish import NewFiles
from worker.library.published import published_model
from worker.mapping.label_rows import token_rows
from worker.mapping.shards import encode_shard


@dataclass
class AddedModel:
    """A model on its way from a file into the library; `replaced` is whether the library had it already."""

    name: str
    model: ForeignModel
    tables: list[str] = field(default_factory=list)
    replaced: bool = False
    kind: FileKind = "model"

    @classmethod
    def read(cls, connection: sa.Connection, name: str | None) -> "AddedModel":
        """Read and check all but the rows of neurons; errors as in `read_foreign_model`."""
        model = read_foreign_model(connection)
        return cls(chosen_name(model.row["name"], name), model)

    @property
    def holds(self) -> Mapping[FileKind, Sequence[str]]:
        """What nobody else may change meanwhile."""
        return {"model": [self.name]}

    def check_admitted(self, connection: sa.Connection, data: Path) -> None:
        """Check the rows of neurons, and that the library can take the model.

        Raises:
            ForeignFileError: a row is not what a label file has.
            LabelFileError: the name is taken by other weights, or layers or measurements would be lost.
        """
        published = published_model(data, self.name)
        if published is not None:
            if published.source_hash != self.model.row["source_hash"]:
                raise name_taken(self.name, published.source)
            lost = [name_layers(published.layers)] if set(published.layers) - set(self.model.mapped) else []
            lost += sorted(published.measured - self.model.measurements.keys())
            if lost:
                raise LabelFileError(
                    f"The library has {', '.join(lost)} of {self.name!r}, which the file lacks. Give --name to keep "
                    "both."
                )
            self.replaced = True
        for table, rules in rules_of(self.model).items():
            if check_rows(connection, table, rules):
                self.tables.append(table)
        if "label" not in self.tables:
            raise ForeignFileError("it has no labels")
        check_tokens(connection, self.model)

    def copy(self, connection: sa.Connection, folder: Path) -> None:
        """Write the rows of neurons to shards, and those of tokens as the tokenizer has them."""
        for table in self.tables:
            copy_rows(connection, table_statement(table), folder / f"{table}.parquet")
        (folder / "token.parquet").write_bytes(encode_shard(token_rows(self.model.vocabulary)))

    def build(self, files: NewFiles, folder: Path, origin: Mapping[str, str]) -> None:
        """Build the model's file, which says where it came from; errors as in `build_model_file`."""
        row, vocabulary = self.model.row, self.model.vocabulary
        settings = json.dumps({**json.loads(row["settings"]), "added": dict(origin)})
        rows = {table: shard_rows([folder / f"{table}.parquet"]) for table in ("token", *self.tables)}
        contents = ModelContents(
            model={**row, "name": self.name, "settings": settings},
            tokenizer={"hash": vocabulary.hash, "vocab": len(vocabulary.entries), "json": vocabulary.json},
            measurements=self.model.measurements,
            rows=rows,
        )
        files.build_model(self.name, contents)

    def lines(self) -> list[str]:
        """What was added, for people."""
        measured = ", ".join(sorted(self.model.measurements.keys() - {"control"})) or "nothing measured"
        replaced = " It takes the place of the one with the same weights." if self.replaced else ""
        source = self.model.row["source"]
        return [f"{self.name}: {name_layers(self.model.mapped)}, {measured}, from {source}.{replaced}"]


def chosen_name(name: str, wanted: str | None) -> str:
    """The name to be used: the wanted one as `map` would write it, or that of the file.

    Raises:
        ForeignFileError: the file's own name is not one.
        LabelFileError: the wanted one cannot name a file.
    """
    if wanted is not None:
        check_name(slug(wanted))
        return slug(wanted)
    if not is_name(name) or slug(name) != name:
        raise ForeignFileError(f"its name {name[:40]!r} is not one, unless you give --name")
    return name
