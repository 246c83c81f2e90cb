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
    """Decode weight vectors through the head under both lenses.

    Args:
        rows: `(rows, width)`, fp32.
        head: prepared head of `vocab` tokens.
        top_k, bottom_k: tokens kept at each end, at least 2 at the top (for the margin).

    Memory: one fp32 score per row and token, and little beside.
    """
    top_k, bottom_k = min(top_k, head.vocab), min(bottom_k, head.vocab)
    lengths = torch.linalg.vector_norm(rows, dim=1)  # (rows,)
    unit = torch.where(lengths > 0, 1 / lengths, 0.0)  # (rows,)
    units = {Lens.logit: torch.ones_like(unit), Lens.cosine: unit}
    moments = {lens: _mean_and_std(rows, head, lens) for lens in Lens}

    scores = rows.new_empty(len(rows), head.vocab)
    sweeps = {lens: _Sweep(*moments[lens], exponentials=lens is Lens.logit) for lens in Lens}
    for start in range(0, head.vocab, TILE):
        stop = min(start + TILE, head.vocab)
        tile = torch.mm(rows, head.weight[start:stop].T)  # (rows, tile)
        scores[:, start:stop] = tile
        sweeps[Lens.logit].add(tile)
        sweeps[Lens.cosine].add(tile.mul_(head.scale[start:stop]))

    scales = {Lens.logit: None, Lens.cosine: head.scale}
    return {lens: sweeps[lens].finish(scores, scales[lens], units[lens], head, top_k, bottom_k) for lens in Lens}


def _mean_and_std(rows: Tensor, head: Head, lens: Lens) -> tuple[Tensor, Tensor]:
    """Exact mean and population deviation of each row's scores, from the head's moments; `(rows,)` in fp64."""
    wide = rows.double()
    mean = wide @ head.first_moments[lens]
    square = torch.linalg.vecdot(wide @ head.second_moments[lens], wide)
    return mean, (square - mean**2).clamp(min=0).sqrt()


class _Sweep:
    """What one lens keeps of the tiles that pass: bucket extremes and sums of powers."""

    def __init__(self, mean: Tensor, std: Tensor, exponentials: bool) -> None:
        self.mean, self.std = mean, std
        self.centre = mean.float()[:, None]  # (rows, 1)
        self.third, self.fourth = torch.zeros_like(mean), torch.zeros_like(mean)
        self.peak = torch.full_like(self.centre, -torch.inf) if exponentials else None  # (rows, 1)
        self.exponentials = torch.zeros_like(mean)
        self.highest: list[Tensor] = []
        self.lowest: list[Tensor] = []

    def add(self, tile: Tensor) -> None:  # (rows, tile)
        highest, lowest = _bucket_extremes(tile)
        self.highest.append(highest)
        self.lowest.append(lowest)
        away = tile - self.centre
        squared = away * away
        self.fourth += torch.linalg.vecdot(squared, squared)
        self.third += torch.linalg.vecdot(squared, away)
        if self.peak is not None:  # the running log-sum-exp: shifted by the highest score so far
            peak = torch.maximum(self.peak, highest.amax(1, keepdim=True))
            self.exponentials *= (self.peak - peak).exp()[:, 0]
            self.exponentials += torch.sub(tile, peak, out=away).exp_().sum(1)
            self.peak = peak

    def finish(
        self, scores: Tensor, scale: Tensor | None, unit: Tensor, head: Head, top_k: int, bottom_k: int
    ) -> Decoded:
        ends = {}
        for sign, buckets, k in ((1, self.highest, top_k), (-1, self.lowest, bottom_k)):
            places, values = _best(scores, scale, torch.cat(buckets, 1) * sign, sign, k)
            ends[sign] = Extremes(head.token_ids[places], values * sign * unit[:, None])
        spread = torch.where(self.std > 0, self.std, torch.inf)
        return Decoded(
            ends[1],
            ends[-1],
            mean=(self.mean * unit).float(),
            std=(self.std * unit).float(),
            skew=(self.third / head.vocab / spread**3).float(),
            kurtosis=torch.where(self.std > 0, self.fourth / head.vocab / spread**4 - 3, 0.0).float(),
            logsumexp=None if self.peak is None else (self.exponentials.log() + self.peak[:, 0]).float(),
        )


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
