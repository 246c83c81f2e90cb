"""The recipe of a mapping run: what is computed for every neuron. Recorded with the model; a resumed run keeps it.

Knows the choices; computes nothing.
"""

from dataclasses import dataclass, replace

from neuronym.contract import Lens, View, name_layers
from worker.checkpoints.checkpoint import Checkpoint
from worker.errors import CheckpointError
from worker.lens.decoder import Precision
from worker.lens.noise import CONTROLS


@dataclass(frozen=True)
class MapRecipe:
    """The choices of one mapping run."""

    views: tuple[View, ...] = tuple(View)
    lenses: tuple[Lens, ...] = tuple(Lens)
    top_k: int = 20
    bottom_k: int = 10
    gain: str = "none"  # norm gain folded into the rows
    precision: Precision = "auto"  # as chosen; the precision used is recorded with the model
    layers: range | None = None  # the part of the model to map; None maps all layers

    def fitted_to(self, checkpoint: Checkpoint) -> "MapRecipe":
        """The recipe with only the views that the checkpoint has, and with `layers` None if they are all of its layers.

        Raises:
            CheckpointError: the checkpoint has none of the views, or lacks some of the layers.
        """
        views = tuple(view for view in self.views if view in checkpoint.views)
        if not views:
            raise CheckpointError(f"{checkpoint.name} has no gate: its views are {', '.join(checkpoint.views)}.")
        all_layers = range(checkpoint.layers)
        if self.layers and self.layers[-1] not in all_layers:
            raise CheckpointError(f"{checkpoint.name} has {name_layers(all_layers)}. Give --layers within them.")
        return replace(self, views=views, layers=None if self.layers == all_layers else self.layers)

    def layers_of(self, checkpoint: Checkpoint) -> range:
        """The layers of a checkpoint that the recipe maps."""
        return self.layers or range(checkpoint.layers)

    def record(self) -> dict[str, str | int | list[str] | list[int]]:
        """The recipe as the label file stores it; `layers` only where they are a part of the model."""
        part = {"layers": [self.layers[0], self.layers[-1]]} if self.layers else {}
        return self.layer_record() | part

    def layer_record(self) -> dict[str, str | int | list[str] | list[int]]:
        """The choices that one layer's labels depend on: all but which other layers are mapped."""
        return {"views": [str(view) for view in self.views]} | self.shard_record()

    def shard_record(self) -> dict[str, str | int | list[str] | list[int]]:
        """The choices that a shard depends on, which has one view of one layer: not which others are mapped."""
        return {
            "lenses": [str(lens) for lens in self.lenses],
            "top_k": self.top_k,
            "bottom_k": self.bottom_k,
            "gain": self.gain,
            "precision": self.precision,
            "controls": CONTROLS,
        }
