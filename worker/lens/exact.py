"""Weights to scores: pure functions on tensors, exact in fp32. No files, no models, no tokenizers.

A weight vector w is decoded through the head W_U. The logit lens scores token v by W_U[v] . w, the cosine lens by
the same with both vectors at unit length. One product gives both, and the lowest scores are read beside the highest.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.lens.decoded import Decoded, Extremes, concatenate
from worker.lens.gemm import RowProducts
from worker.lens.statistics import LOG2E, Moments, Statistics, fp32_blocks
from worker.machine.cores import in_blocks

TILE = 1024  # tokens a product: the tile is reduced while it is still in the processor's cache
TILE_ON_DEVICE = 16_384  # a GPU waits for each of the many small steps that a tile takes
BUCKET = 64  # tokens a bucket maximum stands for
BOTH = tuple(Lens)


class Head:
    """The LM head prepared for decoding: rows that are tokens, their lengths, and the moments of what lenses score by.

    Args:
        weight: `(head rows, width)`, fp32 or bf16. Not copied where tokens are its first rows.
        token_ids: which rows are tokens, ascending; rows beyond the tokenizer are never labels.
    """

    def __init__(self, weight: Tensor, token_ids: Tensor) -> None:
        self.token_ids = token_ids  # (vocab,)
        first = bool((token_ids == torch.arange(len(token_ids), device=token_ids.device)).all())
        self.weight = weight[: len(token_ids)] if first else weight[token_ids]  # (vocab, width)
        norms = torch.cat([torch.linalg.vector_norm(block, dim=1) for block in fp32_blocks(self.weight)])
        self.norms = norms  # (vocab,)
        self.scale = torch.where(norms > 0, 1 / norms, 0.0)  # (vocab,)
        self._moments = {Lens.logit: Moments(self.weight, None), Lens.cosine: Moments(self.weight, self.scale)}

    @property
    def vocab(self) -> int:
        return len(self.token_ids)

    def in_bf16(self) -> "Head":
        """Round every weight to bf16; a head that is in bf16 already is returned as it is."""
        if self.weight.dtype is torch.bfloat16:
            return self
        rounded = Head(self.weight.bfloat16(), torch.arange(self.vocab, device=self.token_ids.device))
        rounded.token_ids = self.token_ids
        return rounded

    def moments(self, lens: Lens) -> Moments:
        """The moments of the rows that a lens scores by."""
        return self._moments[lens]

    def prepare(self, lenses: Sequence[Lens]) -> None:
        """Compute the moments now, on all cores, rather than when a thread first reads them."""
        for lens in lenses:
            _ = self._moments[lens].covariance


def decode(
    rows: Tensor,
    head: Head,
    top_k: int = 20,
    bottom_k: int = 10,
    lenses: Sequence[Lens] = BOTH,
    dtype: torch.dtype = torch.float32,
    figures: bool = True,
) -> dict[Lens, Decoded]:
    """Decode weight vectors through the head; every sum, score and figure is fp32 or better.

    Args:
        rows: `(rows, width)`, fp32, on the head's device.
        head: prepared head of `vocab` tokens.
        top_k, bottom_k: tokens kept at each end, at least 2 at the top (for the margin), 0 for no bottom.
        lenses: the lenses to decode under; a second costs no second product.
        dtype: bf16 rounds the rows first, so that a device can multiply them faster with a head in bf16.
        figures: whether to compute the figures that need every score (skew, kurtosis, logsumexp).
    """
    head.prepare(lenses)
    ends = {sign: min(k, head.vocab) for sign, k in ((1, top_k), (-1, bottom_k))}
    parts = in_blocks(lambda block: _decode_block(block.to(dtype), head, ends, lenses, figures), rows, head.vocab)
    return {lens: concatenate([part[lens] for part in parts]) for lens in lenses}


def _decode_block(
    factors: Tensor, head: Head, ends: Mapping[int, int], lenses: Sequence[Lens], figures: bool
) -> dict[Lens, Decoded]:
    rows, products = factors.float(), RowProducts(factors)
    statistics = {lens: Statistics(rows, head.moments(lens), lens, head.norms, figures) for lens in lenses}
    maxima: dict[tuple[Lens, int], list[Tensor]] = {(lens, sign): [] for lens in lenses for sign in ends}
    scores = rows.new_empty(len(rows), head.vocab)
    size = TILE if rows.device.type == "cpu" else TILE_ON_DEVICE
    for start in range(0, head.vocab, size):
        stop = min(start + size, head.vocab)
        tile = products(head.weight[start:stop])  # (rows, tile)
        scores[:, start:stop] = tile
        for lens in sorted(lenses, key=BOTH.index):
            if lens is Lens.cosine:  # after the logit lens, which needs the tile as it is
                tile *= head.scale[start:stop]
            for sign, k in ends.items():
                if k:
                    maxima[lens, sign].append(_bucket_maxima(tile, sign))
            _add_to_statistics(statistics[lens], tile)

    decoded = {}
    for lens in lenses:
        scale, unit, extremes = head.scale if lens is Lens.cosine else None, statistics[lens].unit, []
        for sign, k in ends.items():
            if k:
                places, values = _select_best(scores, scale, torch.cat(maxima[lens, sign], 1), sign, k)
                extremes.append(Extremes(head.token_ids[places], values * sign * unit[:, None]))
            else:
                extremes.append(no_extremes(rows))
        decoded[lens] = statistics[lens].finish(*extremes)
    return decoded


def no_extremes(rows: Tensor) -> Extremes:
    """Extremes of `rows` without any tokens, `(rows, 0)`."""
    return Extremes(rows.new_empty(len(rows), 0, dtype=torch.long), rows.new_empty(len(rows), 0))


def _add_to_statistics(statistics: Statistics, tile: Tensor) -> None:
    if statistics.shape is not None:
        deviations = torch.sub(tile, statistics.mean.float()[:, None]).mul_(statistics.inverse_std[:, None])
        statistics.shape.add(deviations, spare=torch.empty_like(deviations))
    if statistics.logsumexp is not None:
        statistics.logsumexp.add(tile * LOG2E)


def _bucket_maxima(tile: Tensor, sign: int) -> Tensor:
    """Largest of `sign * score` of each run of BUCKET tokens, `(rows, buckets)`; the last run may be short."""
    whole = tile.shape[1] // BUCKET * BUCKET
    parts = [tile[:, :whole].view(len(tile), -1, BUCKET), tile[:, None, whole:]]  # (rows, buckets, at most BUCKET)
    return torch.cat([part.amax(2) if sign > 0 else -part.amin(2) for part in parts if part.numel()], 1)


def _select_best(scores: Tensor, scale: Tensor | None, maxima: Tensor, sign: int, k: int) -> tuple[Tensor, Tensor]:
    """Find the places and values of the `k` largest of `sign * scores * scale` in each row, ties to the lower place.

    Exact: a score outside the k + 1 buckets with the largest maxima is beaten by k + 1 bucket maxima.
    """
    vocab = scores.shape[1]
    buckets = maxima.topk(min(k + 1, maxima.shape[1]), dim=1).indices.sort(dim=1).values  # (rows, k + 1)
    run = torch.arange(BUCKET, device=scores.device)
    places = (buckets[:, :, None] * BUCKET + run).flatten(1)  # (rows, candidates), ascending
    inside = places.clamp(max=vocab - 1)
    values = _signed(scores.gather(1, inside), None if scale is None else scale[inside], sign)
    values = values.masked_fill(places >= vocab, -torch.inf)
    highest = values.topk(min(k + 1, vocab), dim=1)
    tied = (highest.values[:, k - 1] == highest.values[:, -1]) & (highest.values.shape[1] > k)
    order = highest.indices[:, :k].sort(dim=1).values  # ascending places, so that the stable sort keeps the lower first
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
