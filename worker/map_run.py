"""A whole mapping run: open every model, map the layers that are missing, publish a label file of each.

All of them at the end, in one step; or, where people wait for the first names, each as soon as it is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from neuronym.contract import BuildingBegun, MappingStepBegun, Published
from neuronym.settings import Settings
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.sources import slug
from worker.errors import CheckpointError, LabelFileError
from worker.library.data_folder import check_data_folder
from worker.library.holds import hold
from worker.machine.memory import return_memory
from worker.mapping.mapping import Engine, LocalEngine, MappedModel, map_model
from worker.mapping.pairs import MappedPair, check_comparable, measure_drift
from worker.mapping.plan import Step, describe_plan, plan_steps
from worker.mapping.progress import BUILDING, ReportProgress, TellLine, TellProgram
from worker.mapping.recipe import MapRecipe
from worker.mapping.shards import ShardFolder

NamedCheckpoint = tuple[str, Checkpoint]


def _ignore(_: object) -> None:
    return None


@dataclass(frozen=True)
class MapRun:
    """Map models under one recipe into the data folder of the settings.

    With `early`, what is mapped is published after each step of the plan; a pair is always made of whole models.
    `tell` has sentences for people, `announce` the same for a program.
    """

    settings: Settings
    recipe: MapRecipe = field(default_factory=MapRecipe)
    resume: bool = True
    report: ReportProgress = _ignore
    engine: Engine = field(default_factory=LocalEngine)
    tell: TellLine = _ignore
    early: bool = False
    announce: TellProgram = _ignore

    def map(self, specs: Sequence[str], names: Sequence[str] = ()) -> str:
        """Map the models that `specs` name and publish them together; return the library's run id.

        Raises:
            CheckpointError: a model cannot be opened.
            EngineError: the engine cannot map it.
            LabelFileError: a name is taken or another run works on it, a file cannot be built, or the disk is full.
        """
        opened = self._open_all(specs, names)
        with hold(self.settings.data, {"model": [name for name, _ in opened]}):
            self._check_mappable(opened)
            return self._publish(self._map_missing(opened))

    def map_pair(self, base: str, instruct: str, names: Sequence[str] = (), pair: str = "", note: str = "") -> str:
        """Map two checkpoints of one model, measure how far each neuron moved between them, and return the run id.

        Raises:
            CheckpointError: a model cannot be opened, or the two cannot be compared.
            EngineError: the engine cannot map them.
            LabelFileError: a name is taken or another run works on it, a file cannot be built, or the disk is full.
        """
        before, after = self._open_all([base, instruct], names)
        hashes = [checkpoint.vocabulary.hash for _, checkpoint in (before, after)]
        check_comparable(before[1], after[1], (hashes[0], hashes[1]))
        pair_name = slug(pair) if pair else f"{before[0]}-to-{after[0]}"
        with hold(self.settings.data, {"model": [before[0], after[0]], "pair": [pair_name]}):
            return self._map_pair(before, after, pair_name, note or None)

    def _map_pair(self, before: NamedCheckpoint, after: NamedCheckpoint, pair_name: str, note: str | None) -> str:
        """Map two checkpoints that can be compared, compare and publish them."""
        from worker.library.admission import check_pair  # only here: mapping has no use for DuckDB

        self._check_mappable([before, after])
        check_pair(self.settings.data, pair_name, before[0], after[0])
        # The first model is the one that pages and clamps start with.
        mapped = self._map_missing([after, before], pair_name)
        identity = {"base": before[1].source_hash, "instruct": after[1].source_hash, **self.recipe.layer_record()}
        shards = ShardFolder(self.settings.data, f"{pair_name}.pair", identity)
        shards.open(self.resume)
        recipe = self.recipe.fitted_to(before[1])
        measure_drift(before[1], after[1], recipe, shards)
        return self._publish(mapped, [MappedPair(pair_name, before[0], after[0], note, shards, recipe.layers)])

    def _open_all(self, specs: Sequence[str], names: Sequence[str]) -> list[NamedCheckpoint]:
        """Open all checkpoints, with their names, before the first is mapped: a bad one shows before hours of work.

        Raises:
            CheckpointError: one cannot be opened, or does not fit the recipe.
            LabelFileError: nothing can be published into the data folder.
        """
        check_data_folder(self.settings.data)
        checkpoints = [open_checkpoint(spec) for spec in specs]
        for checkpoint in checkpoints:
            _ = checkpoint.tokenizer
            self.recipe.fitted_to(checkpoint)
        model_names = [slug(name) for name in names] or [checkpoint.name for checkpoint in checkpoints]
        if len(set(model_names)) < len(model_names):
            raise CheckpointError(f"Two models would be called {model_names[0]!r}. Tell them apart with --name.")
        return list(zip(model_names, checkpoints, strict=True))

    def _check_mappable(self, opened: Sequence[NamedCheckpoint]) -> None:
        """Check that the library takes these models, and that no other model's work would be lost.

        Raises:
            CheckpointError: one would lose layers in the library.
            LabelFileError: a name is taken by another model.
        """
        from worker.library.admission import check_models  # only here: mapping has no use for DuckDB

        check_models(self.settings.data, opened, self.recipe)
        for name, checkpoint in opened:
            if self.resume:
                _refuse_losing_shards(name, self._shards(name, checkpoint))

    def _publish(self, mapped: Sequence[MappedModel], pairs: Sequence[MappedPair] = ()) -> str:
        from worker.library.current import read_library
        from worker.library.publish import Additions, publish  # only here: mapping has no use for DuckDB

        if not mapped and not pairs:
            return read_library(self.settings.data).run
        return_memory()
        self.tell(BUILDING)
        self.announce(BuildingBegun(building=mapped[-1].name if mapped else pairs[-1].name))
        return publish(Additions(mapped, pairs), self.settings)

    def _map_missing(self, opened: Sequence[NamedCheckpoint], pair: str | None = None) -> list[MappedModel]:
        """Map the models that the library does not have under this recipe; all of them where nothing is resumed.

        Returns:
            those that are not published yet.
        """
        from worker.library.admission import is_mapped  # only here: mapping has no use for DuckDB
        from worker.library.published import published_models

        missing = []
        for name, checkpoint in opened:
            if self.resume and is_mapped(self.settings.data, name, checkpoint, self.recipe):
                self.tell(f"{name} is mapped already. --fresh maps it again.")
            else:
                missing.append((name, checkpoint))
        known = {model.name: model.views for model in published_models(self.settings.data)} if self.early else {}
        steps = plan_steps(missing, self.recipe, self.early, known)
        self.announce(describe_plan(steps, pair))
        return self._take(steps)

    def _take(self, steps: Sequence[Step]) -> list[MappedModel]:
        """Map step by step; with `early`, publish after each but the last. Returns what is not published yet."""
        mapped: list[MappedModel] = []
        seconds: dict[str, float] = {}
        for place, step in enumerate(steps):
            self.announce(MappingStepBegun(step=place))
            model = self._map(step, self.resume or step.name in seconds)
            seconds[step.name] = seconds.get(step.name, 0.0) + model.seconds
            mapped.append(replace(model, seconds=seconds[step.name]))
            if self.early and place < len(steps) - 1:
                self.announce(Published(published=self._publish(mapped)))
                mapped = []
        return mapped

    def _map(self, step: Step, resume: bool) -> MappedModel:
        checkpoint, shards = step.checkpoint, self._shards(step.name, step.checkpoint)
        vocabulary = checkpoint.vocabulary
        return map_model(step.name, checkpoint, vocabulary, step.recipe, shards, self.engine, resume, self.report)

    def _shards(self, name: str, checkpoint: Checkpoint) -> ShardFolder:
        identity = {
            "source": checkpoint.source_hash,
            "tokenizer": checkpoint.vocabulary.hash,
            **self.recipe.shard_record(),
        }
        return ShardFolder(self.settings.data, name, identity, checkpoint.source.portable)


def _refuse_losing_shards(name: str, shards: ShardFolder) -> None:
    """Refuse to discard the work of another model of this name, whose run is not finished."""
    origin = shards.origin_to_lose()
    if origin is not None:
        raise LabelFileError(
            f"{shards.path} holds what is mapped so far of another model called {name!r} ({origin}). Give --name to "
            "keep it, or --fresh to discard it."
        )
