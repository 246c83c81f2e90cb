"""A whole measurement of mapped models: activity on text, then the effect of every neuron, then a new label file.

An interrupted run continues at its first missing layer. Knows the order of the steps; how activity and effect are
measured is in modules of their own.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from transformers import PreTrainedModel

from neuronym.contract import Direction, Site, View, name_layers
from neuronym.label_tables import QUANTILES, code
from neuronym.settings import Settings
from worker.checkpoints.checkpoint import Checkpoint
from worker.errors import CheckpointError
from worker.labelfile.model_file import MeasuredTable
from worker.library.checkpoints import PublishedCheckpoints
from worker.library.data_folder import check_data_folder
from worker.library.holds import hold
from worker.library.publish import Additions, publish
from worker.library.published import published_model, published_models, published_tokens
from worker.machine.device import choose_device, precision
from worker.mapping.progress import BUILDING, MeasuringProgress, ReportProgress, TellLine
from worker.mapping.shards import ShardFolder
from worker.measuring.activity import FIRES, ActivityReader
from worker.measuring.effect import PROMPTS, SITES, Effects, EffectSubject, Ranges
from worker.measuring.samples import SETTINGS, TextWindows, read_text, write_text
from worker.measuring.summary import effect_summary
from worker.steering.clamp import Sites
from worker.steering.codec import Codec

ENDS = {Direction.high: 0.999, Direction.low: 0.001}  # quantiles of a neuron's values on text
SEED = 0


@dataclass(frozen=True)
class Measurement:
    """Settings of a measurement. `layers` are measured now; publishing needs the effects of all mapped layers."""

    settings: Settings
    sites: Sequence[Site] = SITES
    text: Path | None = None
    layers: range | None = None
    resume: bool = True
    pause: Callable[[], None] = lambda: None
    report: ReportProgress = lambda _: None
    tell: TellLine = lambda _: None

    def unmeasured(self) -> list[str]:
        """List the models of the library whose effect is not measured, in the order they were mapped.

        Raises:
            CheckpointError: there are no models.
        """
        models = published_models(self.settings.data)
        if not models:
            raise CheckpointError(f"There is no model in {self.settings.data}. Map one first.")
        return [model.name for model in models if "effect" not in model.measured]

    def measure(self, name: str) -> str | None:
        """Measure one model and publish; return the library's run id, or None while the effect of a layer is missing.

        Raises:
            CheckpointError: the model is not in the library, or cannot be loaded or measured.
            LabelFileError: another run works on the model, or its label file cannot be read or built.
        """
        data = self.settings.data
        check_data_folder(data)
        with hold(data, {"model": [name]}):
            checkpoints, published = PublishedCheckpoints(data), published_model(data, name)
            if published is None:
                known = f"There are: {', '.join(checkpoints)}." if checkpoints else "There are none: map one first."
                raise CheckpointError(f"There is no model {name!r} in the library. {known}")
            steps = _ModelMeasurement(self, name, checkpoints[name](), published.layers)
            activity = steps.activity()
            effect = steps.effect(activity)
            if effect is None:
                return None
            self.tell(BUILDING)
            return publish(Additions(measured=[activity, effect]), self.settings)


class _ModelMeasurement:
    """The measurement of one model, which is loaded only when a layer is missing."""

    def __init__(self, measurement: Measurement, name: str, checkpoint: Checkpoint, mapped: range) -> None:
        self._measurement, self._name, self._checkpoint, self._mapped = measurement, name, checkpoint, mapped
        self._started = time.monotonic()
        self._layers = measurement.layers or mapped
        if self._layers[-1] >= checkpoint.layers:
            raise CheckpointError(f"{name} has layers 0 to {checkpoint.layers - 1}. Give --layers within them.")
        if set(self._layers) - set(mapped):
            raise CheckpointError(
                f"Of {name} only {name_layers(mapped)} of {checkpoint.layers} can be measured: no others are mapped. "
                "Give --layers within them, or map the rest first."
            )

    @cached_property
    def _model(self) -> PreTrainedModel:
        device = choose_device(self._measurement.settings.device)
        return self._checkpoint.load(device, precision(device))[0]

    @cached_property
    def _sites(self) -> Sites:
        return Sites(self._model, self._checkpoint.family, self._checkpoint.layers, self._checkpoint.neurons)

    def activity(self) -> MeasuredTable:
        """Measure the activity of every missing layer; return all layers' shards."""
        settings = {"quantiles": list(QUANTILES), "fires": FIRES, **self._text_settings()}
        shards = self._shards("activity", settings)
        text = self._text(shards)
        layers = range(self._checkpoint.layers)
        missing = [layer for layer in layers if not shards.has("activity", layer)]
        if missing:

            def take(layer: int, rows: pa.Table) -> None:
                self._measurement.pause()
                shards.write("activity", layer, rows)
                self._report("activity", layer + 1, len(layers))

            reader = ActivityReader(self._model, self._sites, text, self._spell)
            reader.read(missing.__contains__, take)
        result = {"positions": text.positions, "windows": len(text.ids)}
        return MeasuredTable(self._name, "activity", shards, settings, result, time.monotonic() - self._started)

    def _spell(self, ids: list[int]) -> str:
        return str(self._checkpoint.tokenizer.decode(ids, clean_up_tokenization_spaces=False))

    def _text_settings(self) -> dict[str, object]:
        path = self._measurement.text
        if path is None:
            return {"text": "samples", "seed": SEED, **SETTINGS}
        return {"text": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **SETTINGS}

    def _text(self, shards: ShardFolder) -> TextWindows:
        """Get the text to measure on; it is stored when first made, so that a resumed run reads the same text."""
        if not shards.has("text", 0):
            tokenizer, path = self._checkpoint.tokenizer, self._measurement.text
            text = read_text(path, tokenizer) if path else write_text(self._model, tokenizer, SEED)
            shards.write("text", 0, pa.table({"ids": text.ids.tolist(), "counted": text.counted.tolist()}))
        columns = pq.read_table(shards.shard("text", 0)).to_pydict()
        return TextWindows(torch.tensor(columns["ids"]), torch.tensor(columns["counted"]))

    def effect(self, activity: MeasuredTable) -> MeasuredTable | None:
        """Measure the effects of the chosen layers; return all shards, or None while other layers are missing."""
        tokens = torch.from_numpy(published_tokens(self._measurement.settings.data, self._name)).long()
        settings = dict(activity.settings) | {
            "prompts": list(PROMPTS),
            "sites": [str(site) for site in self._measurement.sites],
            "ends": {str(end): quantile for end, quantile in ENDS.items()},
            "labels": hashlib.sha256(tokens.numpy().tobytes()).hexdigest(),
        }
        shards = self._shards("effect", settings)
        missing = [layer for layer in self._layers if not shards.has("effect", layer)]
        earlier = len(self._layers) - len(missing)
        if earlier:
            self._report("effect", earlier, len(self._layers))
        for done, layer in enumerate(missing, earlier + 1):
            ranges = self._ranges(activity.shards, layer)
            shards.write(
                "effect", layer, self._effects.measure_layer(layer, ranges, tokens[:, layer], self._measurement.pause)
            )
            self._report("effect", done, len(self._layers))
        if not all(shards.has("effect", layer) for layer in self._mapped):
            return None
        result = effect_summary(shards.shards("effect"))
        # Of this run only: an earlier run may have measured some layers.
        seconds = time.monotonic() - self._started - activity.seconds
        return MeasuredTable(self._name, "effect", shards, settings, result, seconds)

    @cached_property
    def _effects(self) -> Effects:
        return build_effects(self._checkpoint, self._model, self._sites, self._measurement.sites)

    def _ranges(self, shards: ShardFolder, layer: int) -> Ranges:
        rows = pq.read_table(shards.shard("activity", layer))
        quantiles = torch.tensor(rows["quantiles"].to_pylist())  # (sites * neurons, quantiles)
        site_of = torch.tensor(rows["site"].to_pylist())
        return {site: _range_ends(quantiles[site_of == code(site)]) for site in self._measurement.sites}

    def _shards(self, kind: str, settings: Mapping[str, object]) -> ShardFolder:
        recipe = {"source": self._checkpoint.source_hash, **settings}
        shards = ShardFolder(self._measurement.settings.data, f"{self._name}.{kind}", recipe)
        shards.open(self._measurement.resume)
        return shards

    def _report(self, kind: str, done: int, layers: int) -> None:
        neurons = done * self._checkpoint.neurons
        self._measurement.report(
            MeasuringProgress(self._name, done, layers, neurons, time.monotonic() - self._started, kind)
        )


def build_effects(
    checkpoint: Checkpoint, model: PreTrainedModel, sites: Sites, clamped_sites: Sequence[Site] = SITES
) -> Effects:
    """Build the measurement of a checkpoint that is loaded as `model`, on the neutral prompts."""
    ids = [id_ for _, id_ in sorted(checkpoint.tokenizer.get_vocab().items())]
    subject = EffectSubject(model, sites, ids, lambda layer: checkpoint.stored_rows(View.down, layer))
    return Effects(subject, list(map(Codec(checkpoint.tokenizer).prompt, PROMPTS)), clamped_sites)


def _range_ends(quantiles: Tensor) -> dict[Direction, Tensor]:
    """Take the ends of each neuron's range from `(neurons, quantiles)`."""
    return {end: quantiles[:, QUANTILES.index(quantile)] for end, quantile in ENDS.items()}
