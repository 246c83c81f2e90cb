"""A pair that is added from a file which somebody else made, to its two models, which are in the library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from neuronym.label_tables import model as model_table
from neuronym.label_tables import outdated_models
from neuronym.library import FileKind
from worker.errors import ForeignFileError, LabelFileError
from worker.labelfile.foreign_neurons import copy_rows
from worker.labelfile.foreign_pair import MOVED, check_drift, read_foreign_pair
from worker.labelfile.label_file import read_file
from worker.labelfile.pair_file import PairContents
from worker.labelfile.rows import shard_rows
from worker.library.added_model import chosen_name
from worker.library.admission import check_pair
from worker.library.current import current_file, read_library
from worker.library.publish import NewFiles

SHARD = "moved.parquet"


@dataclass
class AddedPair:
    """A pair on its way from a file into the library; `outdated` are its models that are mapped anew here."""

    name: str
    row: Mapping[str, Any]
    outdated: list[str] = field(default_factory=list)
    kind: FileKind = "pair"

    @classmethod
    def read(cls, connection: sa.Connection, name: str | None) -> "AddedPair":
        """Read and check the row of the pair; errors as in `read_foreign_pair`."""
        row = read_foreign_pair(connection)
        return cls(chosen_name(row["name"], name), row)

    @property
    def models(self) -> tuple[str, str]:
        """The names of base and instruct model."""
        return self.row["base"], self.row["instruct"]

    @property
    def holds(self) -> Mapping[FileKind, Sequence[str]]:
        """What nobody else may change meanwhile."""
        return {"model": self.models, "pair": [self.name]}

    def check_admitted(self, connection: sa.Connection, data: Path) -> None:
        """Check that both models are here and fit the file, and the cosines.

        Raises:
            ForeignFileError: a row is not what a label file has.
            LabelFileError: a model is not here or does not fit, or the name stands for another pair.
        """
        check_pair(data, self.name, *self.models, option="--name")
        library = read_library(data)
        missing = [name for name in self.models if library.find("model", name) is None]
        if missing:
            raise LabelFileError(
                f"The pair needs {' and '.join(map(repr, missing))}, which the library lacks. Add the file of each "
                "first."
            )
        base, instruct = (_model_row(current_file(data, "model", name)) for name in self.models)
        facts = ("architecture", "layers", "neurons", "width", "tokenizer")
        shapes = {tuple(one[fact] for fact in facts) for one in (base, instruct)}
        if len(shapes) > 1 or base["tokenizer"] != self.row["tokenizer"]:
            raise ForeignFileError(f"{base['name']!r} and {instruct['name']!r} of this library are not its models")
        mapped_in = {name: model["mapped_in"] for name, model in zip(self.models, (base, instruct), strict=True)}
        self.outdated = list(outdated_models(self.row, mapped_in))
        check_drift(connection, base["layers"], base["neurons"])

    def copy(self, connection: sa.Connection, folder: Path) -> None:
        """Write the cosines to a shard."""
        copy_rows(connection, MOVED, folder / SHARD)

    def build(self, files: NewFiles, folder: Path, _: Mapping[str, str]) -> None:
        """Build the pair's file from the cosines and the labels of both models; errors as in `build_pair_file`."""
        compared = (files.file_of(self.models[0]), files.file_of(self.models[1]))
        moved = shard_rows([folder / SHARD])
        mapped_in = (self.row["base_mapped_in"], self.row["instruct_mapped_in"])
        files.build_pair(PairContents(self.name, *self.models, self.row["note"], moved, compared, mapped_in=mapped_in))

    def lines(self) -> list[str]:
        """What was added, for people."""
        said = [f"{self.name}: pair of {self.models[0]} and {self.models[1]}."]
        if self.outdated:
            said.append(
                f"It is outdated: {' and '.join(self.outdated)} here was mapped in another run than the pair was made "
                "of. Add the models' files of the same origin, or map the pair again."
            )
        return said


def _model_row(path: Path) -> Mapping[str, Any]:
    with read_file(path) as connection:
        return dict(connection.execute(sa.select(model_table)).mappings().one())
