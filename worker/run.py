"""A whole mapping run: open each model, map what is missing, publish once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.settings import Settings
from worker.artifact import publish
from worker.checkpoint import Checkpoint, open_checkpoint
from worker.errors import CheckpointError
from worker.mapping import Mapped, Progress, Recipe, map_model
from worker.progress import Report
from worker.shards import ShardFolder
from worker.sources import slug
from worker.vocabulary import read_vocabulary


def _silent(_: Progress) -> None:
    return None


@dataclass(frozen=True)
class MapRun:
    """Maps models under one recipe into the data folder of the settings."""

    settings: Settings
    recipe: Recipe = field(default_factory=Recipe)
    resume: bool = True
    report: Report = _silent

    def map(self, specs: Sequence[str], names: Sequence[str] = ()) -> str:
        """Map the models that `specs` name and publish them in one label file; returns its run id.

        Raises:
            CheckpointError: a model cannot be had.
            LabelFileError: the file cannot be built.
        """
        checkpoints = [open_checkpoint(spec) for spec in specs]  # a bad one is found before hours of work
        called = [slug(name) for name in names] or [checkpoint.name for checkpoint in checkpoints]
        if len(set(called)) < len(called):
            raise CheckpointError(f"Two models would be called {called[0]!r}. Tell them apart with --name.")
        mapped = [self._map(*one) for one in zip(called, checkpoints, strict=True)]
        return publish(mapped, self.settings)

    def _map(self, name: str, checkpoint: Checkpoint) -> Mapped:
        vocabulary = read_vocabulary(checkpoint.tokenizer)
        recipe = self.recipe.of(checkpoint)
        identity = {"source": checkpoint.source_hash, "tokenizer": vocabulary.hash, **recipe.record()}
        shards = ShardFolder(self.settings.data, name, identity)
        return map_model(name, checkpoint, vocabulary, recipe, shards, self.resume, self.report)
