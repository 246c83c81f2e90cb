"""Publishing: build the files of what was mapped or measured, and name them in the catalogue in one step.

Touches the files of these models and pairs alone. A crash at any point leaves the library as it was, with the shards on
disk. The caller holds what it publishes (`worker.library.holds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neuronym.library import FileKind, LabelFileEntry, label_file, names_folder
from neuronym.settings import Settings
from worker.labelfile.label_file import remove_unfinished
from worker.labelfile.model_file import (
    MeasuredTable,
    ModelContents,
    build_model_file,
    mapped_contents,
    measured_contents,
)
from worker.labelfile.pair_file import PairContents, build_pair_file, copy_pair_file
from worker.labelfile.rows import shard_rows
from worker.library.current import current_file, new_run, read_library, update_catalogue
from worker.mapping.mapping import MappedModel
from worker.mapping.pairs import MappedPair
from worker.mapping.shards import ShardFolder


@dataclass(frozen=True)
class Additions:
    """What is new: models, pairs of them, and measurements of models that are in the library."""

    models: Sequence[MappedModel] = ()
    pairs: Sequence[MappedPair] = ()
    measured: Sequence[MeasuredTable] = ()

    @property
    def shards(self) -> list[ShardFolder]:
        """The shards not needed after publishing: all but those of parts of models, which mapping the rest needs."""
        finished: list[MappedModel | MappedPair | MeasuredTable] = [
            *(model for model in self.models if not model.is_part),
            *(pair for pair in self.pairs if not pair.part),
            *self.measured,
        ]
        return [addition.shards for addition in finished]


def publish(additions: Additions, settings: Settings) -> str:
    """Build the files of `additions`, make them current, and return the run id of the library.

    Raises:
        LabelFileError: the disk is full, or a count is wrong. The library stays as it was, and the shards stay on disk.
    """
    data, files = settings.data, NewFiles(settings)
    library = read_library(data)
    for model in additions.models:
        before = library.find("model", model.name)
        path = label_file(data, "model", before) if before else None
        files.build_model(model.name, mapped_contents(model, files.run, path))
    for name in dict.fromkeys(table.model for table in additions.measured):
        tables = [table for table in additions.measured if table.model == name]
        files.build_model(name, measured_contents(tables, current_file(data, "model", name)))
    for pair in additions.pairs:
        moved = shard_rows(pair.shards.shards("drift", pair.part))
        compared = (files.file_of(pair.base), files.file_of(pair.instruct))
        files.build_pair(PairContents(pair.name, pair.base, pair.instruct, pair.note, moved, compared))
    run = files.make_current()
    for shards in additions.shards:
        shards.discard()
    return run


@dataclass
class NewFiles:
    """The files that one run builds, all of one run id, before they are made current together."""

    settings: Settings
    run: str = field(default_factory=new_run)
    entries: dict[FileKind, list[LabelFileEntry]] = field(default_factory=lambda: {"model": [], "pair": []})

    def build_model(self, name: str, contents: ModelContents) -> None:
        """Build the file of a model; errors as in `build_model_file`."""
        build_model_file(self._new_path("model", name), self.run, contents, self.settings.memory_limit)

    def build_pair(self, contents: PairContents) -> None:
        """Build the file of a pair; errors as in `build_pair_file`."""
        build_pair_file(self._new_path("pair", contents.name), self.run, contents, self.settings.memory_limit)

    def copy_pair(self, name: str, before: Path) -> None:
        """Write the file of a pair anew from one that it has; errors as in `copy_pair_file`."""
        copy_pair_file(self._new_path("pair", name), self.run, before, self.settings.memory_limit)

    def file_of(self, model: str) -> Path:
        """The file of a model: the one just built, else the current one."""
        data = self.settings.data
        new = next((entry for entry in self.entries["model"] if entry.name == model), None)
        return label_file(data, "model", new) if new else current_file(data, "model", model)

    def make_current(self) -> str:
        """Name the files in the catalogue; return the run id, which is that of the library now."""
        update_catalogue(self.settings.data, self.run, self.entries)
        return self.run

    def _new_path(self, kind: FileKind, name: str) -> Path:
        """The path of a new file; what builds of this name left that were cut off is removed."""
        remove_unfinished(names_folder(self.settings.data, kind, name))
        entry = LabelFileEntry(name=name, run=self.run)
        self.entries[kind].append(entry)
        return label_file(self.settings.data, kind, entry)
