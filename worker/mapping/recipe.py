"""What is computed for every neuron of a model: recorded with the model, and part of a resumed run's identity.

Knows the choices; computes nothing.
"""

from dataclasses import dataclass, replace

from app.contract import Lens, View
from worker.checkpoints.checkpoint import Checkpoint
from worker.errors import CheckpointError
from worker.naming.control import CONTROLS
from worker.naming.decoder import Precision


@dataclass(frozen=True)
class Recipe:
    """The choices of one run."""

    views: tuple[View, ...] = tuple(View)
    lenses: tuple[Lens, ...] = tuple(Lens)
    top_k: int = 20
    bottom_k: int = 10
    gain: str = "none"  # norm gain folded into the rows
    precision: Precision = "auto"  # what was asked; what was done is recorded with the model

    def of(self, checkpoint: Checkpoint) -> "Recipe":
        """The same with the views this checkpoint has.

        Raises:
            CheckpointError: it has none of them.
        """
        views = tuple(view for view in self.views if view in checkpoint.views)
        if not views:
            raise CheckpointError(f"{checkpoint.name} has no gate: its views are {', '.join(checkpoint.views)}.")
        return replace(self, views=views)

    def record(self) -> dict[str, str | int | list[str]]:
        """As it is kept in the label file."""
        return {
            "views": [str(view) for view in self.views],
            "lenses": [str(lens) for lens in self.lenses],
            "top_k": self.top_k,
            "bottom_k": self.bottom_k,
            "gain": self.gain,
            "precision": self.precision,
            "controls": CONTROLS,
        }
