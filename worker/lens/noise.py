"""How far a label would stand out by chance: control rows made of a layer's own rows, and the strength they set.

The null is a row that has everything in common with its layer, except what makes one neuron different. White noise is
too easy a null: the rows of a layer share a mean and a few strong channels, and these alone push the same tokens up in
every row. So a control row is a random mixture of the layer's rows about their mean, with Gaussian weights. It has the
layer's mean and covariance, so every token's score has the mean and variance it has over the layer, and it is normal
beyond that, whatever the layer's size. Mixtures by random signs or rotations tend to the same as the layer grows. The
layer's own specialised rows are in the mixture too, which makes the control the harder to beat.

Rows are mixed at unit length: what is measured does not depend on length, and a few long rows would else be all of the
covariance. Layers are not pooled: their controls differ (98% of them reach 5.9 deviations in one, 7 in another).

Knows decoded rows; knows nothing of checkpoints, shards or tokens.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neuronym.contract import Strength
from worker.lens.decoded import Decoded

CONTROLS = 199  # a layer and view; with the row that is judged they make 200, so that a rate is a whole number of them
RATES: Mapping[Strength, float] = {
    Strength.weak: 0.05,
    Strength.strong: 0.02,
}  # of controls that reach the strength by chance
RULE = (
    "A label is strong when its highest or its lowest token stands further from the mean of the vocabulary, in "
    "standard deviations, than either end of 98% of the control rows of its layer; weak when further than 95%; "
    "else it is noise."
)


def mixtures(rows: Tensor, seed: int, count: int = CONTROLS) -> Tensor:
    """Mix control rows of a layer, `(count, width)`, about as long as its median row; zeros for a layer of zeros.

    Args:
        rows: `(neurons, width)`, fp32. Rows of zeros say nothing and are left out.
        seed: the same seed and rows give the same control.
    """
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1)  # (neurons,)
    real = lengths > 0
    mixed = int(real.sum())
    if not mixed:
        return rows.new_zeros(count, rows.shape[1])
    inverse = torch.where(real, 1 / lengths, 0.0)  # (neurons,)
    weights = rows.new_zeros(count, len(rows))
    drawn = torch.randn(count, mixed, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
    weights[:, real] = drawn.to(rows.device)
    # `weights @ (unit - mean)` without the unit rows: a copy of a large layer would not fit beside it.
    mean = inverse @ rows / mixed  # (width,)
    sums = torch.mm(weights * inverse, rows) - torch.outer(weights.sum(1), mean)  # (count, width)
    return (sums / math.sqrt(mixed) + mean) * float(lengths[real].median())


@dataclass(frozen=True)
class Reach:
    """Deviations from the mean of the vocabulary at which a row's highest and lowest token stand, `(rows,)` each."""

    top: Tensor
    bottom: Tensor

    @property
    def furthest(self) -> Tensor:
        """The reach of the end that stands further out: it names the neuron, for a neuron may fire with both signs."""
        return torch.maximum(self.top, self.bottom)


def reach(decoded: Decoded) -> Reach:
    """Measure how far out both ends of each row stand; 0 for a row without spread."""
    below = (decoded.mean - decoded.bottom.scores[:, 0]) / decoded.std
    return Reach(decoded.z, torch.where(decoded.std > 0, below, 0.0))


@dataclass(frozen=True)
class Thresholds:
    """What a label has to exceed to be more than noise, in deviations from the mean of the vocabulary.

    The k-th furthest of n control rows is exceeded by another control row with a chance of exactly k / (n + 1), for
    all of them are equally likely to hold any rank. That makes the rates, for any distribution and any layer.
    """

    weak: float
    strong: float

    @classmethod
    def of(cls, control: Reach) -> "Thresholds":
        """Set the thresholds from a layer's control rows."""
        ranked = control.furthest.sort(descending=True).values  # (controls,)
        return cls(**{grade.value: float(ranked[_rank(rate, len(ranked))]) for grade, rate in RATES.items()})

    def strength(self, reached: Tensor) -> Tensor:
        """The codes of Strength of rows that stand `reached` deviations out, `(rows,)`."""
        return (reached > self.weak).short() + (reached > self.strong).short()


def _rank(rate: float, controls: int) -> int:
    """The rank of the control row to exceed, 0 for the furthest, so that the rate is at most `rate`."""
    return max(1, int(rate * (controls + 1) + 1e-9)) - 1
