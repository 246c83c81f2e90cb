"""Rows times the whole rounded head, tile by tile: what is read of a tile is read while it is in the cache.

Gives each bucket's largest and smallest product, the statistics that need every score, and the products themselves.
Scores here are those of head rows at unit length. Knows nothing of searches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from worker.lens.rounding import BUCKET, TILE, Rounded, RoundedHead
from worker.lens.statistics import LOG2E, Statistics

SLACK = 4e-6  # of |r||w|: what fp32 itself may round


@dataclass(frozen=True)
class Screened:
    """Screened scores of some rows, by bucket or by token, and how far they may be off."""

    head: RoundedHead
    rows: Tensor  # (rows, width)
    rounded: Rounded
    shift: Tensor  # (rows,): the product with the head's mean
    products: Tensor  # int32: `(rows, tokens of the tile)` of each tile, one after the other
    extremes: dict[int, Tensor]  # 1: largest, -1: smallest product of each bucket, (rows, buckets)

    def of_buckets(self, sign: int) -> Tensor:
        """Largest of `sign * score` of each bucket, `(rows, buckets)`."""
        scores = self.extremes[sign].float().mul_(self.head.step)
        return scores.mul_(self.rounded.step[:, None]).add_(self.shift[:, None]).mul_(sign)

    def of_tokens(self, sign: int, of_rows: Tensor, buckets: Tensor) -> Tensor:
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
    """The product, and the memory it takes.

    Args:
        head: the rounded head.
        rows: most rows at a time.
    """

    def __init__(self, head: RoundedHead, rows: int) -> None:
        self.head, self.rows = head, rows
        self._products = torch.empty(rows * head.tokens.numel(), dtype=torch.int32)
        self._spare = torch.empty(2, rows * TILE)

    def run(self, rows: Tensor, signs: Iterable[int], statistics: Iterable[Statistics]) -> Screened:
        """Multiply `rows` `(rows, width)`: bucket extremes for each of `signs`, and a share for `statistics`.

        What comes back is good until the next run, which writes over the products.
        """
        head, rounded = self.head, self.head.round_rows(rows)
        extremes = {sign: torch.empty(len(rows), len(head.tokens), dtype=torch.int32) for sign in signs}
        screened = Screened(head, rows, rounded, rows @ head.mean, self._products, extremes)
        counted, place = [one for one in statistics if one.shape or one.logsumexp], 0
        for tile, (start, stop) in enumerate(head.tiles):
            size = len(rows) * len(head.codes[tile])
            product = self._products[place : place + size].view(len(rows), -1)  # (rows, tile)
            place += size
            torch._int_mm(rounded.codes, head.codes[tile].T, out=product)
            for sign, found in extremes.items():
                reduce = torch.amax if sign > 0 else torch.amin
                reduce(product.view(len(rows), BUCKET, -1), 1, out=found[:, start:stop])
            if counted:
                self._count(screened, product, start, stop, counted)
        for one in counted:
            if one.shape:
                one.shape.stretch(rounded.step * one.inverse_std)
        return screened

    def _count(self, screened: Screened, product: Tensor, start: int, stop: int, counted: list[Statistics]) -> None:
        """A tile's share in what is summed over the vocabulary. Copies that fill up a bucket count nothing."""
        head, (scores, other) = self.head, (part[: product.numel()].view_as(product) for part in self._spare)
        real = head.real[start:stop].T.flatten().float()  # (tile,)
        scores.copy_(product).mul_(head.step[start:stop].repeat(BUCKET) * real)
        for one in counted:
            if one.logsumexp:
                lengths = head.norms[start:stop].T.flatten() * LOG2E
                torch.mul(scores, lengths, out=other).mul_(screened.rounded.step[:, None])
                one.logsumexp.add(other.addr_(screened.shift, lengths), counted=real)
        for one in counted:
            if one.shape:  # of one lens only: these scores, which are about their mean already, are used up
                one.shape.add(scores, other)
