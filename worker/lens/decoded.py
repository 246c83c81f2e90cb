"""What decoding gives: the best tokens of each row at both ends, and figures over the whole vocabulary.

Knows nothing of how the tokens were found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Extremes:
    """The `k` best tokens of each row: ids and scores, `(rows, k)`, best first, ties to the lower id."""

    ids: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Decoded:
    """One lens on some rows. Statistics are over the whole vocabulary, `(rows,)` each."""

    top: Extremes
    bottom: Extremes
    mean: Tensor
    std: Tensor  # of the population
    skew: Tensor | None  # cosine lens only: it is the same but for the tokens' lengths
    kurtosis: Tensor | None  # cosine lens only; excess: 0 for a normal distribution
    logsumexp: Tensor | None  # logit lens only

    @property
    def z(self) -> Tensor:
        """How many standard deviations the top score stands above the mean; 0 for a row without spread."""
        return torch.where(self.std > 0, (self.top.scores[:, 0] - self.mean) / self.std, 0.0)

    @property
    def margin(self) -> Tensor:
        """The top score minus the second."""
        return self.top.scores[:, 0] - self.top.scores[:, 1]

    def overwrite(self, mask: Tensor, replacement: "Decoded") -> None:
        """Replace the rows that `mask` selects, in place."""
        for ours, theirs in zip(self._tensors(), replacement._tensors(), strict=True):
            if ours is not None and theirs is not None:
                ours[mask] = theirs

    def _tensors(self) -> tuple[Tensor | None, ...]:
        ends = (self.top.ids, self.top.scores, self.bottom.ids, self.bottom.scores)
        return (*ends, self.mean, self.std, self.skew, self.kurtosis, self.logsumexp)


def concatenate(parts: Sequence[Decoded]) -> Decoded:
    """Join blocks of rows into one."""
    tensors = [
        None if columns[0] is None else torch.cat([column for column in columns if column is not None])
        for columns in zip(*(part._tensors() for part in parts), strict=True)
    ]
    top, bottom = Extremes(*tensors[:2]), Extremes(*tensors[2:4])  # type: ignore[arg-type]
    return Decoded(top, bottom, *tensors[4:])  # type: ignore[arg-type]
