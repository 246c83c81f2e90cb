"""What is computed for every neuron of a model: recorded with the model, and part of a resumed run's identity.

Knows the choices; computes nothing.
"""

from dataclasses import dataclass, replace

from neuronym.contract import Lens, View, name_layers
from worker.checkpoints.checkpoint import Checkpoint
from worker.errors import CheckpointError
from worker.lens.decoder import Precision
from worker.lens.noise import CONTROLS


@dataclass(frozen=True)
class Recipe:
    """The choices of one run."""

    views: tuple[View, ...] = tuple(View)
    lenses: tuple[Lens, ...] = tuple(Lens)
    top_k: int = 20
    bottom_k: int = 10
    gain: str = "none"  # norm gain folded into the rows
    precision: Precision = "auto"  # what was asked; what was done is recorded with the model
    layers: range | None = None  # a part of the model; None is all of it

    def of(self, checkpoint: Checkpoint) -> "Recipe":
        """The same with the views this checkpoint has, and no part where that is all of it.

        Raises:
            CheckpointError: it has none of the views, or not all of the layers.
        """
        views = tuple(view for view in self.views if view in checkpoint.views)
        if not views:
            raise CheckpointError(f"{checkpoint.name} has no gate: its views are {', '.join(checkpoint.views)}.")
        every = range(checkpoint.layers)
        if self.layers and self.layers[-1] not in every:
            raise CheckpointError(f"{checkpoint.name} has {name_layers(every)}. Give --layers within them.")
        return replace(self, views=views, layers=None if self.layers == every else self.layers)

    def mapped(self, checkpoint: Checkpoint) -> range:
        """The layers of a checkpoint that are mapped."""
        return self.layers or range(checkpoint.layers)

    def record(self) -> dict[str, str | int | list[str] | list[int]]:
        """As it is kept in the label file; layers are named only where they are a part."""
        part = {"layers": [self.layers[0], self.layers[-1]]} if self.layers else {}
        return self.of_each_layer() | part

    def of_each_layer(self) -> dict[str, str | int | list[str] | list[int]]:
        """What the shards of a layer depend on: they are the same whichever other layers are mapped."""
        return {
            "views": [str(view) for view in self.views],
            "lenses": [str(lens) for lens in self.lenses],
            "top_k": self.top_k,
            "bottom_k": self.bottom_k,
            "gain": self.gain,
            "precision": self.precision,
            "controls": CONTROLS,
        }
