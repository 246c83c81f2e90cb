"""A whole mapping run: open each model, map what is missing, publish once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neuronym.contract import name_layers
from neuronym.settings import Settings
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.sources import slug
from worker.errors import CheckpointError
from worker.machine.memory import give_back
from worker.mapping.mapping import Engine, Here, Mapped, Progress, map_model
from worker.mapping.pairs import MappedPair, check_comparable, measure_drift
from worker.mapping.progress import BUILDING, Report, Tell
from worker.mapping.recipe import Recipe
from worker.mapping.shards import ShardFolder


def _silent(_: Progress) -> None:
    return None


@dataclass(frozen=True)
class MapRun:
    """Maps models under one recipe into the data folder of the settings."""

    settings: Settings
    recipe: Recipe = field(default_factory=Recipe)
    resume: bool = True
    report: Report = _silent
    engine: Engine = field(default_factory=Here)
    tell: Tell = lambda _: None

    def map(self, specs: Sequence[str], names: Sequence[str] = ()) -> str:
        """Map the models that `specs` name and publish them in one label file; returns its run id.

        Raises:
            CheckpointError: a model cannot be had.
            EngineError: it cannot be mapped where it was asked for.
            LabelFileError: the file cannot be built, or the disk is full.
        """
        opened = self._opened(specs, names)
        return self._publish([self._map(*one) for one in opened])

    def map_pair(self, base: str, instruct: str, names: Sequence[str] = (), pair: str = "", note: str = "") -> str:
        """Map two checkpoints of one model and what became of each neuron between them; returns the run id.

        Raises:
            CheckpointError: a model cannot be had, or the two cannot be compared.
            EngineError: they cannot be mapped where it was asked for.
            LabelFileError: the file cannot be built, or the disk is full.
        """
        before, after = self._opened([base, instruct], names)
        hashes = [checkpoint.vocabulary.hash for _, checkpoint in (before, after)]
        check_comparable(before[1], after[1], (hashes[0], hashes[1]))
        mapped = [self._map(*after), self._map(*before)]  # the first model is the one that pages and clamps start with
        called = slug(pair) if pair else f"{before[0]}-to-{after[0]}"
        identity = {"base": before[1].source_hash, "instruct": after[1].source_hash, **self.recipe.of_each_layer()}
        shards = ShardFolder(self.settings.data, f"{called}.pair", identity)
        shards.open(self.resume)
        recipe = self.recipe.of(before[1])
        measure_drift(before[1], after[1], recipe, shards)
        pair_rows = MappedPair(called, before[0], after[0], note or None, shards, recipe.layers)
        return self._publish(mapped, [pair_rows])

    def _opened(self, specs: Sequence[str], names: Sequence[str]) -> list[tuple[str, Checkpoint]]:
        """All checkpoints with their names, each one that can be mapped as it is asked."""
        opened = _opened(specs, names)
        for name, checkpoint in opened:
            _keep_mapped(self.settings.data, name, checkpoint, self.recipe.of(checkpoint))
        return opened

    def _publish(self, mapped: Sequence[Mapped], pairs: Sequence[MappedPair] = ()) -> str:
        from worker.labelfile.build import Additions, publish  # only here: mapping has no use for DuckDB

        give_back()
        self.tell(BUILDING)
        return publish(Additions(mapped, pairs), self.settings)

    def _map(self, name: str, checkpoint: Checkpoint) -> Mapped:
        vocabulary = checkpoint.vocabulary
        recipe = self.recipe.of(checkpoint)
        identity = {"source": checkpoint.source_hash, "tokenizer": vocabulary.hash, **recipe.of_each_layer()}
        shards = ShardFolder(self.settings.data, name, identity)
        return map_model(name, checkpoint, vocabulary, recipe, shards, self.engine, self.resume, self.report)


def _keep_mapped(data: Path, name: str, checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Refuse a part under a name that has other layers mapped: publishing it would take them out of the file."""
    from worker.labelfile.read import published_layers  # only here: mapping has no use for DuckDB

    there = published_layers(data).get(name, range(0)) if recipe.layers else range(0)
    if set(there) - set(recipe.mapped(checkpoint)):
        raise CheckpointError(
            f"{name} has {name_layers(there)} mapped, which a file with {name_layers(recipe.mapped(checkpoint))} would "
            "lose. Give --layers that hold both, no --layers, or another --name."
        )


def _opened(specs: Sequence[str], names: Sequence[str]) -> list[tuple[str, Checkpoint]]:
    """All checkpoints with their names, before the first is mapped: a bad one is found before hours of work."""
    checkpoints = [open_checkpoint(spec) for spec in specs]
    for checkpoint in checkpoints:
        _ = checkpoint.tokenizer
    called = [slug(name) for name in names] or [checkpoint.name for checkpoint in checkpoints]
    if len(set(called)) < len(called):
        raise CheckpointError(f"Two models would be called {called[0]!r}. Tell them apart with --name.")
    return list(zip(called, checkpoints, strict=True))
