"""Products of rows with the whole rounded head, tile by tile; each tile is used while it is in the cache.

Gives each bucket's largest and smallest product, the statistics that need every score, and the products themselves.
Scores here are those of head rows at unit length. Knows nothing of searches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from worker.lens.rounding import BUCKET, TILE, RoundedHead, RoundedVectors
from worker.lens.statistics import LOG2E, Statistics

SLACK = 4e-6  # of |r||w|: what fp32 itself may round


@dataclass(frozen=True)
class ScreenedScores:
    """Screened scores of some rows, by bucket or by token, and the bound on their error."""

    head: RoundedHead
    rows: Tensor  # (rows, width)
    rounded: RoundedVectors
    shift: Tensor  # (rows,): the product with the head's mean
    products: Tensor  # int32: `(rows, tokens of the tile)` of each tile, one after the other
    extremes: dict[int, Tensor]  # 1: largest, -1: smallest product of each bucket, (rows, buckets)

    def bucket_scores(self, sign: int) -> Tensor:
        """The largest `sign * score` of each bucket, `(rows, buckets)`."""
        scores = self.extremes[sign].float().mul_(self.head.step)
        return scores.mul_(self.rounded.step[:, None]).add_(self.shift[:, None]).mul_(sign)

    def token_scores(self, sign: int, of_rows: Tensor, buckets: Tensor) -> Tensor:
        """`sign * score` of each token of some buckets of some rows, `(places, BUCKET)`."""
        tile = buckets // (TILE // BUCKET)
        stride = self.head.sizes[tile]  # (places,): a bucket is every so many-th token of its tile
        first = tile * (TILE * len(self.rows)) + of_rows * stride * BUCKET + buckets % (TILE // BUCKET)
        places = first[:, None] + stride[:, None] * torch.arange(BUCKET)
        scores = self.products.index_select(0, places.flatten()).view_as(places).float()
        scores.mul_(self.head.step[buckets, None])
        return scores.mul_(self.rounded.step[of_rows, None]).add_(self.shift[of_rows, None]).mul_(sign)

    @cached_property
    def bound(self) -> Tensor:
        """How far any score of a bucket may be from the true one, `(rows, buckets)`."""
        slack = SLACK * torch.linalg.vector_norm(self.rows, dim=1)[:, None]
        return torch.outer(self.rounded.error, self.head.length).addr_(self.rounded.length, self.head.error).add_(slack)


class Int8Product:
    """Multiplies rows with a rounded head in memory that it keeps.

    Args:
        head: the rounded head.
        rows: the most rows of one run.
    """

    def __init__(self, head: RoundedHead, rows: int) -> None:
        self.head, self.rows = head, rows
        self._products = torch.empty(rows * head.tokens.numel(), dtype=torch.int32)
        self._spare = torch.empty(2, rows * TILE)

    def run(self, rows: Tensor, signs: Iterable[int], statistics: Iterable[Statistics]) -> ScreenedScores:
        """Multiply `rows` `(rows, width)`; find bucket extremes for each of `signs` and add to `statistics`.

        The result is valid until the next run, which writes over the products.
        """
        head, rounded = self.head, self.head.round_rows(rows)
        extremes = {sign: torch.empty(len(rows), len(head.tokens), dtype=torch.int32) for sign in signs}
        screened = ScreenedScores(head, rows, rounded, rows @ head.mean, self._products, extremes)
        counted, offset = [statistic for statistic in statistics if statistic.shape or statistic.logsumexp], 0
        for tile, (start, stop) in enumerate(head.tiles):
            size = len(rows) * len(head.codes[tile])
            product = self._products[offset : offset + size].view(len(rows), -1)  # (rows, tile)
            offset += size
            torch._int_mm(rounded.codes, head.codes[tile].T, out=product)
            for sign, bucket_extremes in extremes.items():
                reduce = torch.amax if sign > 0 else torch.amin
                reduce(product.view(len(rows), BUCKET, -1), 1, out=bucket_extremes[:, start:stop])
            if counted:
                self._count(screened, product, start, stop, counted)
        for statistic in counted:
            if statistic.shape:
                statistic.shape.stretch(rounded.step * statistic.inverse_std)
        return screened

    def _count(
        self, screened: ScreenedScores, product: Tensor, start: int, stop: int, counted: list[Statistics]
    ) -> None:
        """Add a tile to the sums over the vocabulary, without the copies that fill up a bucket."""
        head, (scores, spare) = self.head, (part[: product.numel()].view_as(product) for part in self._spare)
        real = head.real[start:stop].T.flatten().float()  # (tile,)
        scores.copy_(product).mul_(head.step[start:stop].repeat(BUCKET) * real)
        for statistic in counted:
            if statistic.logsumexp:
                lengths = head.norms[start:stop].T.flatten() * LOG2E
                torch.mul(scores, lengths, out=spare).mul_(screened.rounded.step[:, None])
                statistic.logsumexp.add(spare.addr_(screened.shift, lengths), counted=real)
        for statistic in counted:
            if statistic.shape:  # of one lens only; overwrites the scores, which are about their mean already
                statistic.shape.add(scores, spare)
