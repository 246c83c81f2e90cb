"""What the library holds: each model and pair, with its size on disk, for the command line."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from neuronym.contract import name_layers
from neuronym.label_tables import outdated_models, pair
from neuronym.library import label_file
from worker.labelfile.label_file import read_file
from worker.library.current import read_library
from worker.library.published import PublishedModel, read_model


@dataclass(frozen=True)
class StoredModel:
    """A model of the library; `bytes` is the size of its file."""

    published: PublishedModel
    bytes: int

    def record(self) -> dict[str, Any]:
        """The model as JSON."""
        published = asdict(self.published) | {"measured": sorted(self.published.measured)}
        layers = self.published.layers
        return {**published, "layers": [layers[0], layers[-1]], "bytes": self.bytes}

    def line(self) -> str:
        """The model in a line."""
        measured = ", ".join(sorted(self.published.measured - {"control"})) or "nothing measured"
        layers = name_layers(self.published.layers)
        added = self.published.settings.get("added", {})
        pulled = f", pulled from {added['repository']}" if "repository" in added else ""
        source = self.published.source
        return f"{self.published.name}: {layers}, {measured}, {_size(self.bytes)}, from {source}{pulled}"


@dataclass(frozen=True)
class StoredPair:
    """A pair of the library; `outdated` are those of its models that were mapped again since it was made."""

    name: str
    base: str
    instruct: str
    outdated: tuple[str, ...]
    bytes: int

    def line(self) -> str:
        """The pair in a line."""
        again = f", made before {' and '.join(self.outdated)} was mapped again" if self.outdated else ""
        return f"{self.name}: pair of {self.base} and {self.instruct}{again}, {_size(self.bytes)}"


@dataclass(frozen=True)
class Inventory:
    """All that the library holds; `run` is the id of its state."""

    run: str
    models: list[StoredModel]
    pairs: list[StoredPair]


def take_inventory(data: Path) -> Inventory:
    """Read what the library holds.

    Raises:
        LabelFileError: the catalogue or a file cannot be read.
    """
    library = read_library(data)
    models, pairs = [], []
    for entry in library.models:
        path = label_file(data, "model", entry)
        models.append(StoredModel(read_model(path), path.stat().st_size))
    mapped_in = {model.published.name: model.published.mapped_in for model in models}
    for entry in library.pairs:
        path = label_file(data, "pair", entry)
        with read_file(path) as connection:
            row = connection.execute(sa.select(pair)).mappings().one()
        outdated = outdated_models(row, mapped_in)
        pairs.append(StoredPair(entry.name, row["base"], row["instruct"], outdated, path.stat().st_size))
    return Inventory(library.run, models, pairs)


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
