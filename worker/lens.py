"""Weights to scores: pure functions on tensors, exact in fp32. No files, no models, no tokenizers.

A weight vector w is decoded through the head W_U. The logit lens scores token v by W_U[v] . w, the cosine lens by
the same with both vectors at unit length. One product gives both, and the lowest scores are read beside the highest.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from app.contract import Lens

TILE = 1024  # tokens a product: the tile is reduced while it is still in the processor's cache
BUCKET = 64  # tokens a bucket maximum stands for


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
    skew: Tensor
    kurtosis: Tensor  # excess: 0 for a normal distribution
    logsumexp: Tensor | None  # logit lens only

    @property
    def z(self) -> Tensor:
        """How many standard deviations the top score stands above the mean; 0 for a row without spread."""
        return torch.where(self.std > 0, (self.top.scores[:, 0] - self.mean) / self.std, 0.0)

    @property
    def margin(self) -> Tensor:
        """Top score minus the next."""
        return self.top.scores[:, 0] - self.top.scores[:, 1]


class Head:
    """The LM head made ready: rows that are tokens, their lengths, and the moments that give mean and variance.

    Args:
        weight: `(head rows, width)`, fp32.
        token_ids: which rows are tokens, ascending; rows beyond the tokenizer are never labels.
    """

    def __init__(self, weight: Tensor, token_ids: Tensor) -> None:
        self.token_ids = token_ids  # (vocab,)
        self.weight = weight[token_ids].contiguous()  # (vocab, width)
        norms = torch.linalg.vector_norm(self.weight, dim=1)  # (vocab,)
        self.scale = torch.where(norms > 0, 1 / norms, 0.0)  # (vocab,)

    @property
    def vocab(self) -> int:
        return len(self.token_ids)

    @cached_property
    def first_moments(self) -> dict[Lens, Tensor]:
        """Mean head row, `(width,)` in fp64: its product with w is the exact mean score."""
        return {lens: moment / self.vocab for lens, moment in self._sums(order=1).items()}

    @cached_property
    def second_moments(self) -> dict[Lens, Tensor]:
        """Mean outer product, `(width, width)` in fp64: w' M w is the exact mean squared score."""
        return {lens: moment / self.vocab for lens, moment in self._sums(order=2).items()}

    def _sums(self, order: int) -> dict[Lens, Tensor]:
        totals: dict[Lens, Tensor] = {}
        for start in range(0, self.vocab, 8 * TILE):
            block = self.weight[start : start + 8 * TILE].double()  # (tile, width)
            scaled = block * self.scale[start : start + 8 * TILE, None]
            for lens, rows in ((Lens.logit, block), (Lens.cosine, scaled)):
                part = rows.sum(0) if order == 1 else rows.T @ rows
                totals[lens] = totals[lens] + part if lens in totals else part
        return totals


def decode(rows: Tensor, head: Head, top_k: int = 20, bottom_k: int = 10) -> dict[Lens, Decoded]:
    """Decode weight vectors through the head under both lenses, in fp32 throughout.

    Args:
        rows: `(rows, width)`, fp32.
        head: prepared head of `vocab` tokens.
        top_k, bottom_k: tokens kept at each end, at least 2 at the top (for the margin).

    Memory: one fp32 score per row and token, and little beside.
    """
    top_k, bottom_k = min(top_k, head.vocab), min(bottom_k, head.vocab)
    moments = {lens: Moments(rows, head, lens) for lens in Lens}
    extremes: dict[Lens, list[tuple[Tensor, Tensor]]] = {lens: [] for lens in Lens}
    scores = rows.new_empty(len(rows), head.vocab)
    for start in range(0, head.vocab, TILE):
        stop = min(start + TILE, head.vocab)
        tile = torch.mm(rows, head.weight[start:stop].T)  # (rows, tile)
        scores[:, start:stop] = tile
        for lens in Lens:  # logit first: the tile is then scaled in place
            if lens is Lens.cosine:
                tile *= head.scale[start:stop]
            extremes[lens].append(_bucket_extremes(tile))
            moments[lens].add(tile, peak=extremes[lens][-1][0])

    decoded = {}
    for lens in Lens:
        unit, scale = moments[lens].unit, head.scale if lens is Lens.cosine else None
        ends = []
        for sign, k in ((1, top_k), (-1, bottom_k)):
            maxima = torch.cat([ends[0 if sign > 0 else 1] for ends in extremes[lens]], 1) * sign
            places, values = _best(scores, scale, maxima, sign, k)
            ends.append(Extremes(head.token_ids[places], values * sign * unit[:, None]))
        decoded[lens] = moments[lens].finish(*ends)
    return decoded


class Moments:
    """Statistics of one lens over the whole vocabulary, gathered from tiles of scores that pass.

    Mean and deviation come exactly from the head's moments: the mean score is w' m, the mean squared score w' M w.
    What needs every score (third and fourth powers, exponentials) is summed while the tile is in cache. Tiles hold
    scores before the row's own length is divided out, in units of `step`; `finish` divides.
    """

    def __init__(self, rows: Tensor, head: Head, lens: Lens, step: Tensor | None = None) -> None:
        lengths = torch.linalg.vector_norm(rows, dim=1)  # (rows,)
        inverse = torch.where(lengths > 0, 1 / lengths, 0.0)
        self.unit = inverse if lens is Lens.cosine else torch.ones_like(lengths)  # (rows,)
        self._step = torch.ones_like(lengths) if step is None else step  # (rows,)
        wide = rows.double()
        self.mean = wide @ head.first_moments[lens]  # (rows,)
        square = torch.linalg.vecdot(wide @ head.second_moments[lens], wide)
        self.std = (square - self.mean**2).clamp(min=0).sqrt()  # (rows,)
        self._vocab = head.vocab
        self._centre = (self.mean / self._step).float()[:, None]  # (rows, 1)
        self._powers = [torch.zeros_like(self.mean) for _ in range(4)]  # sums of (score - centre) to the 1st .. 4th
        self._peak = torch.full_like(self._centre, -torch.inf) if lens is Lens.logit else None  # (rows, 1)
        self._exponentials = torch.zeros_like(self.mean)

    def add(self, tile: Tensor, peak: Tensor) -> None:
        """Take in a tile of scores `(rows, tile)`, given maxima of it `(rows, any)`."""
        away = tile - self._centre
        squared = away * away
        powers = (
            away.sum(1),
            squared.sum(1),
            torch.linalg.vecdot(squared, away),
            torch.linalg.vecdot(squared, squared),
        )
        for total, power in zip(self._powers, powers, strict=True):
            total += power
        if self._peak is not None:  # the running log-sum-exp, shifted by the highest score so far
            higher = torch.maximum(self._peak, peak.amax(1, keepdim=True))
            step = self._step[:, None]
            self._exponentials *= ((self._peak - higher) * step).exp()[:, 0]
            self._exponentials += torch.sub(tile, higher, out=away).mul_(step).exp_().sum(1)
            self._peak = higher

    def finish(self, top: Extremes, bottom: Extremes) -> Decoded:
        """The statistics, once every tile has passed."""
        skew, kurtosis = _shape(*(power / self._vocab for power in self._powers))
        return Decoded(
            top,
            bottom,
            mean=(self.mean * self.unit).float(),
            std=(self.std * self.unit).float(),
            skew=torch.where(self.std > 0, skew, 0.0).float(),
            kurtosis=torch.where(self.std > 0, kurtosis, 0.0).float(),
            logsumexp=None
            if self._peak is None
            else (self._exponentials.log() + self._peak[:, 0] * self._step).float(),
        )


def _shape(first: Tensor, second: Tensor, third: Tensor, fourth: Tensor) -> tuple[Tensor, Tensor]:
    """Skew and excess kurtosis from mean powers about any centre, `(rows,)` each."""
    variance = (second - first**2).clamp(min=torch.finfo(second.dtype).tiny)
    skew = (third - 3 * first * second + 2 * first**3) / variance**1.5
    kurtosis = (fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4) / variance**2 - 3
    return skew, kurtosis


def _bucket_extremes(tile: Tensor) -> tuple[Tensor, Tensor]:
    """Highest and lowest score of each run of BUCKET tokens, `(rows, buckets)` each; the last run may be short."""
    whole = tile.shape[1] // BUCKET * BUCKET
    buckets = tile[:, :whole].view(len(tile), -1, BUCKET)  # (rows, buckets, BUCKET)
    highest, lowest = buckets.amax(2), buckets.amin(2)
    if whole < tile.shape[1]:
        rest = tile[:, whole:]
        highest = torch.cat([highest, rest.amax(1, keepdim=True)], 1)
        lowest = torch.cat([lowest, rest.amin(1, keepdim=True)], 1)
    return highest, lowest


def _best(scores: Tensor, scale: Tensor | None, maxima: Tensor, sign: int, k: int) -> tuple[Tensor, Tensor]:
    """Places and values of the `k` largest of `sign * scores * scale` in each row, ties to the lower place.

    Exact: a score outside the k + 1 buckets with the largest maxima is beaten by k + 1 bucket maxima.
    """
    vocab = scores.shape[1]
    buckets = maxima.topk(min(k + 1, maxima.shape[1]), dim=1).indices.sort(dim=1).values  # (rows, k + 1)
    places = (buckets[:, :, None] * BUCKET + torch.arange(BUCKET, device=scores.device)).flatten(
        1
    )  # (rows, candidates), ascending
    inside = places.clamp(max=vocab - 1)
    values = _signed(scores.gather(1, inside), None if scale is None else scale[inside], sign)
    values = values.masked_fill(places >= vocab, -torch.inf)
    kept = values.topk(min(k + 1, vocab), dim=1)
    tied = (kept.values[:, k - 1] == kept.values[:, -1]) & (kept.values.shape[1] > k)
    order = kept.indices[:, :k].sort(dim=1).values  # ascending places, so that the stable sort keeps the lower first
    best, by_value = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    chosen = inside.gather(1, order).gather(1, by_value)
    if tied.any():  # the k-th value occurs again: only a full stable sort says which ids are lowest
        full = _signed(scores[tied], scale, sign)
        ranked, ids = full.sort(dim=1, descending=True, stable=True)
        best[tied], chosen[tied] = ranked[:, :k], ids[:, :k]
    return chosen, best


def _signed(scores: Tensor, scale: Tensor | None, sign: int) -> Tensor:
    return scores * sign if scale is None else scores * scale * sign


def robust_z(values: Tensor) -> Tensor:
    """Distance from the median in units of 1.4826 median absolute deviations, `(rows,)`; 0 where all are equal."""
    centre = values.median()
    spread = 1.4826 * (values - centre).abs().median()
    return (values - centre) / spread if spread > 0 else torch.zeros_like(values)


def nearest(rows: Tensor, k: int = 5) -> Extremes:
    """The k rows that point most nearly the same way as each row, itself left out: indices and cosines `(rows, k)`."""
    unit = torch.nn.functional.normalize(rows, dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-torch.inf)  # (rows, rows)
    best = cosines.topk(min(k, len(rows) - 1), dim=1)
    return Extremes(best.indices, best.values)
