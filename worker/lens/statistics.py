"""Figures over the whole vocabulary, without keeping all scores: from the head's moments, or summed tile by tile.

Mean and deviation come from the head alone: the mean score of w is w . m, its variance w' C w. What needs every score
(third and fourth powers, exponentials) is summed while a tile is in the processor's cache, in as few passes as torch
allows: each takes a tenth of the time of the int8 product that made the tile. Knows nothing of labels.
"""

import math
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.lens.decoded import Decoded, Extremes

BLOCK = 4096  # head rows summed in fp32 before they are added in fp64
CHANNELS = 512  # columns of the covariance at a time
LOG2E = math.log2(math.e)  # torch raises 2 to a power in two thirds of the time it takes for e
SAFE = 100.0  # a power of 2 this high, or this low, and a vocabulary's sum of them are far from fp32's limits


def fp32_blocks(weight: Tensor) -> Iterator[Tensor]:
    """Yield `weight` `(vocab, width)` in fp32 by blocks of rows: the whole may be more than memory holds."""
    for start in range(0, len(weight), BLOCK):
        yield weight[start : start + BLOCK].float()


class Moments:
    """Mean and covariance of the rows a lens scores by: the head's, each times its factor.

    Args:
        weight: `(vocab, width)`, fp32 or bf16.
        scale: `(vocab,)`, each row's factor; None for 1.
    """

    def __init__(self, weight: Tensor, scale: Tensor | None) -> None:
        self._weight, self._scale = weight, scale

    def _blocks(self) -> Iterator[Tensor]:
        for place, block in enumerate(fp32_blocks(self._weight)):
            yield block if self._scale is None else block * self._scale[place * BLOCK :][: len(block), None]

    @cached_property
    def mean(self) -> Tensor:
        """The mean row, `(width,)`, fp64."""
        width = self._weight.shape[1]
        total = self._weight.new_zeros(width, dtype=torch.float64)
        for block in self._blocks():
            total += block.sum(0, dtype=torch.float64)
        return total / len(self._weight)

    @cached_property
    def covariance(self) -> Tensor:
        """The covariance, `(width, width)`, fp32; rows are centred first to keep precision."""
        width, centre = self._weight.shape[1], self.mean.float()
        total = self._weight.new_zeros(width, width, dtype=torch.float64)
        for block in self._blocks():
            away = block - centre
            for start in range(0, width, CHANNELS):  # it is symmetric: what lies below the diagonal is enough
                total[start:, start : start + CHANNELS] += away[:, start:].T @ away[:, start : start + CHANNELS]
        lower = total.div_(len(self._weight)).float().tril_()
        return lower + lower.tril(-1).T

    def spread(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each row's scores, `(rows,)` each, fp64."""
        wide = rows.double()
        variance = torch.linalg.vecdot((rows @ self.covariance).double(), wide)
        return wide @ self.mean, variance.clamp(min=0).sqrt()


class Shape:
    """Skew and kurtosis of each row's scores, from scores about their mean and in units of their deviation.

    Third and fourth cumulants about the sum's own mean: those of a rounding error that is spread like a normal
    distribution are 0, so that scores which are a little off still give the true figures.
    """

    def __init__(self, rows: Tensor, vocab: int) -> None:
        self._vocab = vocab
        self._sums = rows.new_zeros(4, len(rows), dtype=torch.float64)  # of the scores to the 1st .. 4th power

    def add(self, scores: Tensor, spare: Tensor) -> None:
        """Add a tile `(rows, tile)`; overwrites the tile and `spare`, which has the same shape."""
        self._sums[0] += scores.sum(1)
        squared = torch.mul(scores, scores, out=spare)
        self._sums[1] += squared.sum(1)
        self._sums[3] += torch.linalg.vector_norm(squared, dim=1).double() ** 2
        self._sums[2] += scores.mul_(squared).sum(1)

    def stretch(self, factor: Tensor) -> None:
        """Scale every score added so far by `factor` `(rows,)`: cheaper once than for each score."""
        self._sums *= torch.stack([factor.double() ** power for power in (1, 2, 3, 4)])

    def finish(self) -> tuple[Tensor, Tensor]:
        """Skew and excess kurtosis, `(rows,)` each, fp64; 0 for rows without spread."""
        first, second, third, fourth = self._sums / self._vocab
        variance = second - first**2
        skew = third - 3 * first * second + 2 * first**3
        kurtosis = fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4 - 3 * variance**2
        return skew, kurtosis


class LogSumExp:
    """The logarithm of the sum of each row's exponentials.

    Where scores could be too high for a power of them, each is taken less the highest of its row so far.

    Args:
        highest: a bound on the absolute score in each row, `(rows,)`.
    """

    def __init__(self, highest: Tensor) -> None:
        self._safe = bool((highest * LOG2E < SAFE).all())
        self._peak = highest.new_full((len(highest), 1), 0.0 if self._safe else -torch.inf)
        self._sum = highest.new_zeros(len(highest), dtype=torch.float64)

    def add(self, scores: Tensor, counted: Tensor | None = None) -> None:
        """Add a tile `(rows, tile)`; overwrites it.

        Args:
            scores: LOG2E times the scores.
            counted: 1 for each token that counts, else 0; None where all count.
        """
        if not self._safe:
            higher = torch.maximum(self._peak, scores.amax(1, keepdim=True))
            self._sum *= (self._peak - higher).exp2()[:, 0]
            scores.sub_(higher)
            self._peak = higher
        powers = scores.exp2_()
        self._sum += powers.sum(1) if counted is None else powers @ counted

    def finish(self) -> Tensor:
        """The logarithms of the sums, `(rows,)`, fp64."""
        return (self._sum.log2() + self._peak[:, 0]) / LOG2E


class Statistics:
    """The figures of one lens on some rows; a figure that this lens does not have is None.

    Args:
        rows: `(rows, width)`.
        moments: the moments of the rows that the lens scores by.
        lengths: the lengths of the head's rows, `(vocab,)`.
        figures: whether to compute the figures that need every score.
    """

    def __init__(self, rows: Tensor, moments: Moments, lens: Lens, lengths: Tensor, figures: bool = True) -> None:
        self.mean, self.std = moments.spread(rows)  # (rows,), before the row's own length is divided out
        own = torch.linalg.vector_norm(rows, dim=1)
        inverse = torch.where(own > 0, 1 / own, 0.0)
        self.unit = inverse if lens is Lens.cosine else torch.ones_like(own)  # (rows,)
        self.inverse_std = torch.where(self.std > 0, 1 / self.std, 0.0).float()  # (rows,)
        self.shape = Shape(rows, len(lengths)) if figures and lens is Lens.cosine else None
        self.logsumexp = LogSumExp(own * lengths.max()) if figures and lens is Lens.logit else None

    def finish(self, top: Extremes, bottom: Extremes) -> Decoded:
        """Return all figures, once every tile has been added."""
        skew, kurtosis = (None, None) if self.shape is None else self.shape.finish()
        return Decoded(
            top,
            bottom,
            mean=(self.mean * self.unit).float(),
            std=(self.std * self.unit).float(),
            skew=None if skew is None else skew.float(),
            kurtosis=None if kurtosis is None else kurtosis.float(),
            logsumexp=None if self.logsumexp is None else self.logsumexp.finish().float(),
        )
