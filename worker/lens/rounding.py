"""Vectors rounded to int8, and a bound on what rounding changes. Knows nothing of rows, lenses' scores or searches.

Head rows share a large mean, and a few channels stand out: both would waste int8's 255 levels. So the mean is taken
off first, and every vector is rotated, which changes no product and spreads outliers.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.lens.codes import CODES, largest_code
from worker.lens.exact import Head
from worker.lens.rotation import Rotation
from worker.machine.cores import on_all_cores

TILE = 1024  # tokens a product
BUCKET = 16  # tokens that share a step, and that a screened maximum stands for: every (TILE / BUCKET)-th of a tile
AT_ONCE = 16  # buckets rounded at a time
FAILURE = 1e-9  # probability, a row, that a random rounding error exceeds its bound
_OF_ROWS = 2**40  # seed of the rows' rounding, far from those of the head's tiles: the two must be independent


class Bound(StrEnum):
    """The guarantee that a label found by screening rests on."""

    certified = "certified"  # the worst case
    verified = "verified"  # all but FAILURE a row


@dataclass(frozen=True)
class RoundedVectors:
    """Vectors as int8: `codes * step` is the rounded vector, `(vectors, width)` and `(vectors,)`."""

    codes: Tensor
    step: Tensor
    error: Tensor  # what rounding changes in a product with a vector of length 1, at most

    @property
    def length(self) -> Tensor:
        """The lengths of the rounded vectors, `(vectors,)`."""
        length: Tensor = torch.linalg.vector_norm(self.codes.float(), dim=1) * self.step
        return length


def round_to_int8(
    vectors: Tensor, random: Tensor | None, factor: float, together: int = 1, largest: int = 127
) -> RoundedVectors:
    """Round each vector to levels of its largest value: to the nearest, or at random, right on average.

    Args:
        vectors: `(vectors, width)`, fp32; they are used up.
        random: numbers from 0 to 1 that broadcast against `vectors`, independent along the width; None: to the nearest.
        factor: Hoeffding's `sqrt(ln(2 / p) / 2)`; the random error is then `factor * step`.
        together: how many neighbouring vectors share a step.
        largest: the code of the largest value.
    """
    peak = vectors.abs().amax(1).view(-1, together).amax(1)
    step = torch.where(peak > 0, peak / largest, 1.0).repeat_interleave(together)
    codes = vectors / step[:, None]
    codes = (codes.round_() if random is None else codes.add_(random).floor_()).clamp_(-largest, largest)
    if random is None:
        error = torch.linalg.vector_norm(vectors.addcmul_(codes, step[:, None], value=-1), dim=1)
    else:
        error = factor * step
    return RoundedVectors(codes.to(torch.int8), step, error)


def random_numbers(*shape: int, seed: int) -> Tensor:
    """Uniform random numbers from 0 to 1; the same seed gives the same numbers."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


class RoundedHead:
    """The head's rows at unit length, less their mean, in int8: tile by tile, in order of their length.

    Tokens of like length lie together, so that one bound on a bucket's lengths holds closely for each of its tokens.
    A token that fills up the last bucket is a copy of the last one, and not `real`.
    """

    def __init__(self, head: Head, bound: Bound) -> None:
        self._random = bound is Bound.verified
        self._factor = math.sqrt(math.log(16 * head.vocab / FAILURE) / 2)  # two sides, two errors, two lenses, two ends
        self._rotated = Rotation(head.weight.shape[1])
        self._largest = largest_code(head.weight.shape[1]) or CODES[0]
        self.mean = head.moments(Lens.cosine).mean.float()  # (width,)
        order = head.norms.argsort(stable=True)
        self.tokens = torch.cat([order, order[-1:].expand(-len(order) % BUCKET)]).view(-1, BUCKET)  # (buckets, BUCKET)
        self.real = (torch.arange(self.tokens.numel()) < head.vocab).view_as(self.tokens)
        self.norms = head.norms[self.tokens]  # (buckets, BUCKET)
        a_tile = TILE // BUCKET
        self.tiles = [(i, min(i + a_tile, len(self.tokens))) for i in range(0, len(self.tokens), a_tile)]  # of buckets
        self.sizes = torch.tensor([stop - start for start, stop in self.tiles])  # (tiles,), in buckets
        codes = torch.empty(self.tokens.numel(), len(self.mean), dtype=torch.int8)
        self.codes = [codes[start * BUCKET : stop * BUCKET] for start, stop in self.tiles]  # (tokens of a tile, width)
        self.step, self.error, self.length = torch.empty(3, len(self.tokens))  # of each bucket; the latter the largest
        on_all_cores(lambda tile: self._round_tile(head, tile), range(len(self.tiles)))

    def _round_tile(self, head: Head, tile: int) -> None:
        """Fill in a tile, a few buckets at a time, so that little memory is needed."""
        first, end = self.tiles[tile]
        by_place = self.codes[tile].view(BUCKET, end - first, -1)  # (BUCKET, buckets, width)
        for start in range(first, end, AT_ONCE):
            stop = min(start + AT_ONCE, end)
            tokens = self.tokens[start:stop].flatten()
            away = head.weight[tokens].float().mul_(head.scale[tokens, None]).sub_(self.mean)
            self.length[start:stop] = torch.linalg.vector_norm(away, dim=1).view(-1, BUCKET).amax(1)
            random = random_numbers(*away.shape, seed=start) if self._random else None
            rounded = round_to_int8(self._rotated(away), random, self._factor, BUCKET, self._largest)
            by_place[:, start - first : stop - first] = rounded.codes.view(-1, BUCKET, len(self.mean)).transpose(0, 1)
            self.step[start:stop] = rounded.step[::BUCKET]
            self.error[start:stop] = rounded.error.view(-1, BUCKET).amax(1)

    def round_rows(self, rows: Tensor) -> RoundedVectors:
        """Round rows `(rows, width)` for a product with `codes`; a row's result does not depend on the other rows.

        Therefore all rows share one set of random numbers. The bound holds for each row by itself and is unaffected.
        """
        random = random_numbers(len(self.mean), seed=_OF_ROWS) if self._random else None
        return round_to_int8(self._rotated(rows), random, self._factor, largest=self._largest)
