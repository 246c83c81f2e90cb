"""Exact labels from an int8 product: screen every token in int8, rescore the few that matter in fp32, certify.

Head rows share a large mean m, and a few channels stand out: both would waste int8's 255 levels. So w - m is rounded,
m's part r.m is added back exactly, and both sides are rotated first, which changes no product and spreads outliers.

A vector r is rounded to r' = step * codes with error e = r - r', a head row w to w' with error f. The int8 product
gives r'.w', and r.w - r'.w' = e.w + r'.f, which is at most |e||w| + |r'||f| (Cauchy-Schwarz). A token whose screened
score plus that bound is below the k-th exact score is out; when that holds for every token that was not rescored, the
row is certified: its labels are those of the full fp32 product. Rows that fail go the fp32 way.

For wide models the worst case is too wide. There both sides are rounded at random (up or down, right on average), so
that e.w and r'.f are sums of independent errors of mean zero, and Hoeffding's inequality bounds them by
step * |w| * sqrt(ln(2 / p) / 2) but for a stated probability p. Knows nothing of files or models.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from app.contract import Lens
from worker.lens import Decoded, Extremes, Head, Moments, decode

TILE = 1024  # tokens a product
BUCKET = 16  # tokens a screened maximum stands for: every (TILE / BUCKET)-th of a tile
BLOCK = 512  # rows at a time: their scores are kept for the whole vocabulary
FAILURE = 1e-9  # probability, a row, that a random rounding error exceeds its bound
SLACK = 2e-6  # of |r||w|: what fp32 itself may round


class Bound(StrEnum):
    """What a label found by screening rests on."""

    certified = "certified"  # the worst case
    verified = "verified"  # all but FAILURE a row


RESCORED = {Bound.certified: 8, Bound.verified: 5}  # tokens rescored for each that is asked for: few rows need more


@dataclass(frozen=True)
class Rounded:
    """Vectors as int8: `codes * step` is the rounded vector, `(vectors, width)` and `(vectors,)`."""

    codes: Tensor
    step: Tensor
    length: Tensor  # of the vector itself
    error: Tensor  # bound on the length of what rounding lost, times what the bound needs


def round_to_int8(vectors: Tensor, bound: Bound, factor: float, seed: int = 0) -> Rounded:
    """Round each vector to 255 levels of its own largest value: to the nearest, or at random.

    Args:
        vectors: `(vectors, width)`, fp32.
        factor: Hoeffding's `sqrt(ln(2 / p) / 2)`; the error is then `factor * step` a unit of the other's length.
    """
    peak = vectors.abs().amax(1)
    step = torch.where(peak > 0, peak / 127, 1.0)
    scaled = vectors / step[:, None]
    if bound is Bound.certified:
        codes = scaled.round_()
        error = torch.linalg.vector_norm(vectors - codes * step[:, None], dim=1)
    else:
        generator = torch.Generator(vectors.device).manual_seed(seed)
        codes = (scaled + torch.rand(scaled.shape, generator=generator, device=vectors.device)).floor_()
        error = factor * step
    codes.clamp_(-127, 127)
    return Rounded(codes.to(torch.int8), step, torch.linalg.vector_norm(vectors, dim=1), error)


class Screen:
    """A head rounded to int8, and the search through it.

    Args:
        head: the prepared head.
        bound: which certificate to use.
    """

    def __init__(self, head: Head, bound: Bound = Bound.certified) -> None:
        self.head, self.bound = head, bound
        self._factor = math.sqrt(math.log(2 * 2 * 4 * head.vocab / FAILURE) / 2)  # two errors, two lenses, two ends
        self._mean = head.weight.mean(0)  # (width,)
        self._rotation = rotation(head.weight.shape[1])  # (block, block)
        parts = [self._round(head.weight[i : i + 8 * TILE] - self._mean, i) for i in range(0, head.vocab, 8 * TILE)]
        whole = Rounded(*(torch.cat([getattr(part, name) for part in parts]) for name in Rounded.__annotations__))
        self._codes = whole.codes  # (vocab, width)
        ones = torch.ones_like(head.scale)
        self._scales = {Lens.logit: ones, Lens.cosine: head.scale}  # a lens' factor on each token's score
        self._lengths = {lens: whole.length * scale for lens, scale in self._scales.items()}  # (vocab,)
        self._errors = {lens: whole.error * scale for lens, scale in self._scales.items()}  # (vocab,)
        self._steps = {lens: whole.step * scale for lens, scale in self._scales.items()}  # (vocab,)
        self._screened = head.vocab // BUCKET * BUCKET  # the last few tokens are always rescored
        self._tiles = _tiles(self._screened)
        self._bucket_bounds = {lens: self._bounds_by_bucket(lens) for lens in Lens}

    def _round(self, vectors: Tensor, seed: int) -> Rounded:
        rotated = (vectors.reshape(-1, len(self._rotation)) @ self._rotation).view_as(vectors)
        return round_to_int8(rotated, self.bound, self._factor, seed + 1)

    def _bounds_by_bucket(self, lens: Lens) -> tuple[Tensor, Tensor]:
        """Largest length and error of the tokens of each bucket, `(buckets,)` each."""
        return tuple(  # type: ignore[return-value]
            torch.cat([of[start:stop].view(BUCKET, -1).amax(0) for start, stop in self._tiles])
            for of in (self._lengths[lens], self._errors[lens])
        )

    def decode(self, rows: Tensor, top_k: int = 20, bottom_k: int = 10) -> tuple[dict[Lens, Decoded], int]:
        """The same as `lens.decode`, and how many rows had to go the fp32 way.

        Skew, kurtosis and logsumexp are taken from the screened scores; every other figure is exact.
        """
        blocks = [self._decode_block(rows[i : i + BLOCK], top_k, bottom_k) for i in range(0, len(rows), BLOCK)]
        decoded = {lens: _joined([block[lens] for block, _ in blocks]) for lens in Lens}
        failed = torch.cat([certain.logical_not() for _, certain in blocks])  # (rows,)
        if failed.any():
            exact = decode(rows[failed], self.head, top_k, bottom_k)
            for lens in Lens:
                _replace(decoded[lens], failed, exact[lens])
        return decoded, int(failed.sum())

    def _decode_block(self, rows: Tensor, top_k: int, bottom_k: int) -> tuple[dict[Lens, Decoded], Tensor]:
        rounded = self._round(rows, seed=0)
        shift = rows @ self._mean / rounded.step  # (rows,): the mean's part, in units of the row's step
        products = torch.empty(len(rows), self._screened, dtype=torch.int32)
        moments = {lens: Moments(rows, self.head, lens, rounded.step) for lens in Lens}
        buckets: dict[Lens, list[tuple[Tensor, Tensor]]] = {lens: [] for lens in Lens}
        for start, stop in self._tiles:
            product = torch._int_mm(rounded.codes, self._codes[start:stop].T)  # (rows, tile)
            products[:, start:stop] = product
            for lens in Lens:
                tile = product * self._steps[lens][start:stop]  # in units of the row's step
                tile.addr_(shift, self._scales[lens][start:stop])
                ends = tile.view(len(rows), BUCKET, -1)  # (rows, BUCKET, buckets)
                buckets[lens].append((ends.amax(1), ends.amin(1)))
                moments[lens].add(tile, peak=buckets[lens][-1][0])
        self._add_last_tokens(rows, rounded, moments)
        certain = torch.ones(len(rows), dtype=torch.bool)
        decoded = {}
        for lens in Lens:
            found = []
            for sign, k in ((1, top_k), (-1, bottom_k)):
                maxima = torch.cat([ends[0 if sign > 0 else 1] for ends in buckets[lens]], 1) * sign
                extremes, sure = self._search(rows, rounded, shift, products, maxima, lens, sign, k)
                found.append(extremes)
                certain &= sure
            decoded[lens] = moments[lens].finish(*found)
        return decoded, certain

    def _add_last_tokens(self, rows: Tensor, rounded: Rounded, moments: dict[Lens, Moments]) -> None:
        """The statistics' share of the few tokens that fill no bucket, in fp32."""
        if self._screened < self.head.vocab:
            scores = rows @ self.head.weight[self._screened :].T / rounded.step[:, None]
            for lens in Lens:
                tile = scores * self._scales[lens][self._screened :]
                moments[lens].add(tile, peak=tile)

    def _search(
        self,
        rows: Tensor,
        rounded: Rounded,
        shift: Tensor,
        products: Tensor,
        maxima: Tensor,
        lens: Lens,
        sign: int,
        k: int,
    ) -> tuple[Extremes, Tensor]:
        """The k best tokens at one end, and for which rows that is certain."""
        keep = min(RESCORED[self.bound] * k, maxima.shape[1] - 1)
        alpha = (rounded.error / rounded.step)[:, None]  # (rows, 1), like all scores here in units of the row's step
        beta = (rounded.length + rounded.error)[:, None] / rounded.step[:, None]
        if self.bound is Bound.verified:
            beta = torch.linalg.vector_norm(rounded.codes.float(), dim=1)[:, None]
        slack = SLACK * rounded.length[:, None] / rounded.step[:, None]

        length, error = self._bucket_bounds[lens]
        upper = maxima + (alpha + slack) * length + beta * error  # (rows, buckets)
        best = upper.topk(keep + 1, dim=1)
        tokens = self._tokens_of(best.indices[:, :keep])  # (rows, keep * BUCKET)
        screened = products.gather(1, tokens) * self._steps[lens][tokens]
        screened = (screened + shift[:, None] * self._scales[lens][tokens]) * sign
        ceiling = screened + (alpha + slack) * self._lengths[lens][tokens] + beta * self._errors[lens][tokens]
        likely = ceiling.topk(keep + 1, dim=1)
        last = torch.arange(self._screened, self.head.vocab).expand(len(rows), -1)
        rescored = torch.cat([tokens.gather(1, likely.indices[:, :keep]), last], 1).sort(dim=1).values

        exact = _dots(rows, self.head.weight, rescored) * self._scales[lens][rescored] * sign
        scores, order = exact.sort(dim=1, descending=True, stable=True)  # ties to the lower id
        missed = torch.maximum(best.values[:, -1], likely.values[:, -1]) * rounded.step
        unit = torch.where(rounded.length > 0, 1 / rounded.length, 0.0) if lens is Lens.cosine else 1.0
        found = scores[:, :k] * sign * (unit[:, None] if isinstance(unit, Tensor) else unit)
        return Extremes(self.head.token_ids[rescored.gather(1, order[:, :k])], found), missed < scores[:, k - 1]

    def _tokens_of(self, buckets: Tensor) -> Tensor:
        """The tokens of each bucket, `(rows, buckets * BUCKET)`."""
        a_tile = TILE // BUCKET
        tile = buckets // a_tile
        stride = torch.where(tile == len(self._tiles) - 1, (self._screened - tile * TILE) // BUCKET, a_tile)
        first = tile * TILE + buckets % a_tile
        return (first[:, :, None] + stride[:, :, None] * torch.arange(BUCKET)).flatten(1)


def rotation(width: int, largest: int = 1024) -> Tensor:
    """An orthogonal matrix for each run of `block` channels; `(block, block)`, where `block` divides `width`."""
    block = max(size for size in range(1, min(width, largest) + 1) if width % size == 0)
    generator = torch.Generator().manual_seed(0)
    orthogonal: Tensor = torch.linalg.qr(torch.randn(block, block, generator=generator))[0]
    return orthogonal


def _tiles(tokens: int) -> list[tuple[int, int]]:
    return [(start, min(start + TILE, tokens)) for start in range(0, tokens, TILE)]


def _dots(rows: Tensor, weight: Tensor, tokens: Tensor, at_once: int = 64) -> Tensor:
    """fp32 products of each row with its own tokens, `(rows, tokens)`; a few rows at once, so that they stay cached."""
    parts = [
        torch.bmm(weight[tokens[i : i + at_once]], rows[i : i + at_once, :, None])[:, :, 0]
        for i in range(0, len(rows), at_once)
    ]
    return torch.cat(parts)


def _joined(blocks: list[Decoded]) -> Decoded:
    def cat(name: str) -> Tensor:
        return torch.cat([getattr(block, name) for block in blocks])

    ends = [
        Extremes(torch.cat([end.ids for end in ends]), torch.cat([end.scores for end in ends]))
        for ends in ([block.top for block in blocks], [block.bottom for block in blocks])
    ]
    logsumexp = None if blocks[0].logsumexp is None else cat("logsumexp")
    return Decoded(ends[0], ends[1], cat("mean"), cat("std"), cat("skew"), cat("kurtosis"), logsumexp)


def _replace(decoded: Decoded, where: Tensor, exact: Decoded) -> None:
    """Overwrite some rows, in place."""
    for name in ("mean", "std", "skew", "kurtosis", "logsumexp"):
        values = getattr(decoded, name)
        if values is not None:
            values[where] = getattr(exact, name)
    for end, other in ((decoded.top, exact.top), (decoded.bottom, exact.bottom)):
        end.ids[where], end.scores[where] = other.ids, other.scores
