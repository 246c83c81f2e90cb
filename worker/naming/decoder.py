"""Which way a machine decodes: int8 screening where it is faster, fp32 where it is not; measured, never guessed.

Also checks itself: a few rows of every batch are decoded in fp32 as well, and a batch that differs is decoded anew.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from app.contract import Lens
from worker.cores import one_core, rows_at_once
from worker.naming.decoded import Decoded
from worker.naming.lens import BOTH, Head, decode
from worker.naming.rounding import TILE, Bound
from worker.naming.screen import Screen

Precision = Literal["auto", "fp32", "certified", "verified"]
FASTER = 2.0  # int8 products must be this much faster than fp32 to be worth what goes with them
MANY = 1 / 300  # share of the vocabulary scored in fp32, a search, from which that costs more than the int8 product
CHECKED = 4  # rows of each batch that are decoded both ways


@dataclass(frozen=True)
class Outcome:
    """How a batch went: rows that screening left to fp32, rows decoded both ways, and how many of those differed."""

    rows: int
    left_to_fp32: int
    checked: int
    differed: int


class Decoder:
    """Decodes rows through one head.

    Args:
        head: the prepared head.
        precision: a way to decode, or `auto` to measure which is best here; `sample` then shows it typical rows.
        lenses: those asked for.
    """

    def __init__(self, head: Head, precision: Precision, sample: Tensor, lenses: Sequence[Lens] = BOTH) -> None:
        self.head, self.lenses = head, lenses
        self._screen = _best_screen(head, sample, lenses) if precision == "auto" else _screen(head, precision)
        self.precision: Precision = self._screen.bound.value if self._screen else "fp32"

    def decode(self, rows: Tensor, top_k: int, bottom_k: int) -> tuple[dict[Lens, Decoded], Outcome]:
        """The lenses on `rows` `(rows, width)`, and how it went."""
        if self._screen is None:
            return decode(rows, self.head, top_k, bottom_k, self.lenses), Outcome(len(rows), len(rows), 0, 0)
        decoded, effort = self._screen.decode(rows, top_k, bottom_k, self.lenses)
        picked = torch.linspace(0, len(rows) - 1, min(CHECKED, len(rows))).long()
        exact = decode(rows[picked], self.head, top_k, bottom_k, self.lenses)
        differed = sum(not _same(decoded, exact, int(row), place) for place, row in enumerate(picked))
        if differed:
            exact = decode(rows, self.head, top_k, bottom_k, self.lenses)
            return exact, Outcome(len(rows), len(rows), len(picked), differed)
        return decoded, Outcome(len(rows), effort.left_to_fp32, len(picked), 0)


def _screen(head: Head, precision: Precision) -> Screen | None:
    return None if precision == "fp32" else Screen(head, Bound(precision))


def _best_screen(head: Head, sample: Tensor, lenses: Sequence[Lens]) -> Screen | None:
    """What is fastest here; the worst-case bound if it leaves few enough tokens of the sample to be scored in fp32."""
    if not _int8_pays(head):
        return None
    screen = Screen(head, Bound.certified)
    _, effort = screen.decode(sample, lenses=lenses)
    scored = effort.rescored / (2 * len(lenses)) + effort.left_to_fp32 * head.vocab  # tokens, a search
    if scored <= MANY * len(sample) * head.vocab:
        return screen
    del screen  # before there is another
    return Screen(head, Bound.verified)


def _int8_pays(head: Head) -> bool:
    """Whether this machine multiplies int8 so much faster that screening is worth it, in products as they will be."""
    rows, tile = head.weight[: rows_at_once(head.vocab)], head.weight[:TILE]
    codes = [vectors.clamp(-1, 1).mul(127).to(torch.int8) for vectors in (rows, tile)]
    with one_core():
        try:
            int8 = _seconds(lambda: torch._int_mm(codes[0], codes[1].T))
        except RuntimeError:  # no int8 product for this width or device
            return False
        return _seconds(lambda: torch.mm(rows, tile.T)) > FASTER * int8


def _seconds(run: Callable[[], Tensor]) -> float:
    """Best of five, after one to warm up."""
    run()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _same(screened: dict[Lens, Decoded], exact: dict[Lens, Decoded], row: int, place: int) -> bool:
    """Whether both ways name the same tokens, up to scores that fp32 cannot tell apart."""
    for lens in screened:
        for one, other in (
            (screened[lens].top, exact[lens].top),
            (screened[lens].bottom, exact[lens].bottom),
        ):
            ours, theirs = one.scores[row], other.scores[place]
            if not len(theirs):  # this end was not asked for
                continue
            close = torch.isclose(ours, theirs, rtol=1e-5, atol=float(theirs.abs().max()) * 1e-5)
            if not (close & ((one.ids[row] == other.ids[place]) | _tied(theirs))).all():
                return False
    return True


def _tied(scores: Tensor) -> Tensor:
    """Which scores have a neighbour within 1e-5 relative, or stand last and may tie with one that is not listed."""
    near = (scores[:-1] - scores[1:]).abs() <= 1e-5 * scores[:-1].abs()
    last = torch.ones(1, dtype=torch.bool)
    return torch.cat([near, last]) | torch.cat([torch.zeros(1, dtype=torch.bool), near])
