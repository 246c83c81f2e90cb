"""Other recipes to read labels from the same weights.

A recipe folds the gain of the last norm into the head or not, takes the mean row off the head or not, and brings its
rows to unit length or not. It multiplies rows that read by the gain of their own layer's norm or not. Knows tensors and
recipes; knows nothing of where they come from or of what a clamp does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuronym.contract import Lens, View
from worker.lens.exact import Head, decode
from worker.lens.noise import Thresholds, mixtures, reach


@dataclass(frozen=True)
class HeadRecipe:
    """How the head is prepared before it is multiplied with a weight vector."""

    gain: bool = False
    centred: bool = False
    unit: bool = False


@dataclass(frozen=True)
class LensRecipe:
    """How a label is read; `own_gain` multiplies rows that read by the gain of the norm through which they read."""

    name: str
    head: HeadRecipe
    own_gain: bool = False

    def views(self, views: list[View]) -> list[View]:
        """Those of `views` for which this recipe is one of its own: no gain stands before what `down` writes."""
        return [view for view in views if not (self.own_gain and view is View.down)]


PLAIN = {Lens.logit: LensRecipe("logit", HeadRecipe()), Lens.cosine: LensRecipe("cosine", HeadRecipe(unit=True))}
OWN_GAIN = {lens: LensRecipe(f"{lens}, own gain", recipe.head, own_gain=True) for lens, recipe in PLAIN.items()}
RECIPES = (
    PLAIN[Lens.logit],
    LensRecipe("logit, gain folded in", HeadRecipe(gain=True)),
    LensRecipe("logit, head centred", HeadRecipe(centred=True)),
    OWN_GAIN[Lens.logit],
    LensRecipe("logit, both gains", HeadRecipe(gain=True), own_gain=True),
    PLAIN[Lens.cosine],
    LensRecipe("cosine, gain folded in", HeadRecipe(gain=True, unit=True)),
    LensRecipe("cosine, head centred", HeadRecipe(centred=True, unit=True)),
    LensRecipe("cosine, gain folded in, head centred", HeadRecipe(gain=True, centred=True, unit=True)),
    OWN_GAIN[Lens.cosine],
    LensRecipe("cosine, both gains", HeadRecipe(gain=True, unit=True), own_gain=True),
)


@torch.inference_mode()
def norm_gain(norm: nn.Module, width: int) -> Tensor:
    """Measure the gain of a norm of any kind, `(width,)`, on vectors along each axis.

    Their root mean square is 1. A bias is the same for a vector and its opposite, so their difference is free of it.
    """
    weight = next(norm.parameters())
    along = torch.eye(width, dtype=weight.dtype, device=weight.device) * width**0.5
    gain: Tensor = (norm(along) - norm(-along)).diagonal() / (2 * width**0.5)
    return gain.float().cpu()


def prepare_head(head: Tensor, gain: Tensor, recipe: HeadRecipe) -> Tensor:
    """Prepare the head `(vocab, width)` by a recipe; `gain` is that of the last norm."""
    ready = head * gain if recipe.gain else head
    if recipe.centred:
        ready = ready - ready.mean(0)
    return nn.functional.normalize(ready, dim=1) if recipe.unit else ready


def prepare_rows(rows: Tensor, input_gain: Tensor, recipe: LensRecipe) -> Tensor:
    """Prepare rows `(rows, width)` of `up` or `gate` by a recipe; `input_gain` is that of their layer."""
    return rows * input_gain if recipe.own_gain else rows


@dataclass(frozen=True)
class ReadLabels:
    """The highest and the lowest token of some rows, as rows of the head, and whether each of these ends is strong.

    `(sides, rows)` each.
    """

    tokens: Tensor
    strong: Tensor


def read_labels(rows: Tensor, head: Head, chosen: Tensor, seed: int) -> ReadLabels:
    """Read the labels of the `chosen` ones of a layer's rows off a prepared head, as they are mapped.

    Args:
        rows: all rows of the layer, `(neurons, width)`: the control that says what is strong is mixed of them.
        seed: of the control rows.
    """
    decoded, control = (
        decode(some, head, top_k=2, bottom_k=1, lenses=[Lens.logit], figures=False)[Lens.logit]
        for some in (rows[chosen], mixtures(rows, seed))
    )
    reached = torch.stack([reach(decoded).top, reach(decoded).bottom])
    return ReadLabels(
        tokens=torch.stack([decoded.top.ids[:, 0], decoded.bottom.ids[:, 0]]),
        strong=reached > Thresholds.of(reach(control)).strong,
    )
