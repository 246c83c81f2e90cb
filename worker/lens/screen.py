"""Exact labels from an int8 product: screen every token in int8, score the few that matter in fp32.

A vector r is rounded to r' = step * codes with error e = r - r', a head row w (at unit length, less the mean) to w'
with error f. The int8 product gives r'.w', and r.w - r'.w' = e.w + r'.f, which is at most |e||w| + |r'||f|
(Cauchy-Schwarz). A token whose screened score plus that bound is below the k-th best exact score so far is out, all
others are scored in fp32, so a row's labels are those of the full fp32 product: certified. Rows for which too many
tokens remain (a row of zeros) go the fp32 way.

For wide models the worst case is too wide. There both sides are rounded at random (up or down, right on average), so
that e.w and r'.f are sums of independent errors of mean zero, and Hoeffding's inequality bounds them by
step * |w| * sqrt(ln(2 / p) / 2) but for a stated probability p. Knows nothing of files or models.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.lens.decoded import Decoded, Extremes, concatenate
from worker.lens.exact import BOTH, Head, decode, no_extremes
from worker.lens.products import Int8Product
from worker.lens.rounding import Bound, RoundedHead
from worker.lens.selection import Selection
from worker.lens.statistics import Statistics
from worker.machine.cores import blocks, on_all_cores, rows_at_once


@dataclass(frozen=True)
class ScreenEffort:
    """The work that screening left: rows decoded wholly in fp32, and tokens scored in fp32 for the other rows."""

    left_to_fp32: int
    rescored: int


class Screen:
    """Decodes rows through a head rounded to int8.

    Args:
        head: the prepared head.
        bound: which certificate to use.
    """

    def __init__(self, head: Head, bound: Bound = Bound.certified) -> None:
        self.head, self.bound = head, bound
        self._rounded = RoundedHead(head, bound)
        self._idle: SimpleQueue[Int8Product] = SimpleQueue()  # products whose memory can be used again

    def decode(
        self, rows: Tensor, top_k: int = 20, bottom_k: int = 10, lenses: Sequence[Lens] = BOTH, figures: bool = True
    ) -> tuple[dict[Lens, Decoded], ScreenEffort]:
        """Decode as `worker.lens.exact.decode` does; return the result and the work it took.

        Skew, kurtosis and logsumexp are taken from the screened scores; every other figure is exact.
        """
        ends = {sign: min(k, self.head.vocab) for sign, k in ((1, top_k), (-1, bottom_k))}
        self.head.prepare(lenses)
        pieces = blocks(rows, rows_at_once(self.head.vocab))
        parts = on_all_cores(lambda block: self._decode_block(block, ends, lenses, figures), pieces)
        decoded = {lens: concatenate([part[lens] for part, _, _ in parts]) for lens in lenses}
        failed = torch.cat([certain.logical_not() for _, certain, _ in parts])  # (rows,)
        if failed.any():
            exact = decode(rows[failed], self.head, top_k, bottom_k, lenses, figures=figures)
            for lens in lenses:
                decoded[lens].overwrite(failed, exact[lens])
        return decoded, ScreenEffort(int(failed.sum()), sum(rescored for _, _, rescored in parts))

    def _decode_block(
        self, rows: Tensor, ends: dict[int, int], lenses: Sequence[Lens], figures: bool
    ) -> tuple[dict[Lens, Decoded], Tensor, int]:
        """Decode a block: the result, which rows are certain `(rows,)`, and the number of tokens scored in fp32."""
        head = self.head
        statistics = {lens: Statistics(rows, head.moments(lens), lens, head.norms, figures) for lens in lenses}
        product = self._take_product(len(rows))
        screened = product.run(rows, [sign for sign, k in ends.items() if k], statistics.values())
        certain, rescored = torch.ones(len(rows), dtype=torch.bool), 0
        extremes = {(lens, sign): no_extremes(rows) for lens in lenses for sign in ends}
        for sign, k in ends.items():
            if k:
                selections = Selection(self.head, screened, lenses, sign).run(k)
                for lens, selected in selections.items():
                    scores = selected.scores * (sign * statistics[lens].unit[:, None])
                    tokens = selected.tokens.clamp(max=self.head.vocab - 1)  # a row given up may have too few
                    extremes[lens, sign] = Extremes(self.head.token_ids[tokens], scores)
                certain &= selected.certain
                rescored += selected.rescored
        decoded = {lens: statistics[lens].finish(extremes[lens, 1], extremes[lens, -1]) for lens in lenses}
        self._idle.put(product)
        return decoded, certain, rescored

    def _take_product(self, rows: int) -> Int8Product:
        """Take a product that no other thread uses and that has room for `rows` rows, or make one."""
        while not self._idle.empty():
            with suppress(Empty):
                product = self._idle.get_nowait()
                if product.rows >= rows:
                    return product
        return Int8Product(self._rounded, rows)
