"""Which way a machine decodes: int8 screening where it is faster, fp32 where it is not; measured, never guessed.

Also checks itself: a few rows of every batch are decoded in fp32 as well, and a batch that differs is decoded anew.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from app.contract import Lens
from worker.lens import Decoded, Head, decode
from worker.screen import Bound, Screen

Precision = Literal["auto", "fp32", "certified", "verified"]
FASTER = 2.0  # int8 products must be this much faster than fp32 to be worth their rescoring
MANY = 0.05  # share of rows that may go the fp32 way before the worst-case bound is given up
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
    """

    def __init__(self, head: Head, precision: Precision, sample: Tensor) -> None:
        self.head = head
        self.precision = _measured(head, sample) if precision == "auto" else precision
        self._screen = None if self.precision == "fp32" else Screen(head, Bound(self.precision))

    def decode(self, rows: Tensor, top_k: int, bottom_k: int) -> tuple[dict[Lens, Decoded], Outcome]:
        """Both lenses on `rows` `(rows, width)`, and how it went."""
        if self._screen is None:
            return decode(rows, self.head, top_k, bottom_k), Outcome(len(rows), len(rows), 0, 0)
        decoded, left = self._screen.decode(rows, top_k, bottom_k)
        picked = torch.linspace(0, len(rows) - 1, min(CHECKED, len(rows))).long()
        exact = decode(rows[picked], self.head, top_k, bottom_k)
        differed = sum(not _same(decoded, exact, int(row), place) for place, row in enumerate(picked))
        if differed:
            return decode(rows, self.head, top_k, bottom_k), Outcome(len(rows), len(rows), len(picked), differed)
        return decoded, Outcome(len(rows), left, len(picked), 0)


def _measured(head: Head, sample: Tensor) -> Literal["fp32", "certified", "verified"]:
    if not _int8_pays(head):
        return "fp32"
    _, left = Screen(head, Bound.certified).decode(sample)
    return "certified" if left <= MANY * len(sample) else "verified"


def _int8_pays(head: Head) -> bool:
    """Whether this machine multiplies int8 so much faster that screening is worth it."""
    tile = head.weight[:1024]
    codes = tile.clamp(-1, 1).mul(127).to(torch.int8)
    try:
        return _seconds(lambda: torch.mm(tile, tile.T)) > FASTER * _seconds(lambda: torch._int_mm(codes, codes.T))
    except RuntimeError:  # no int8 product for this width or device
        return False


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
    for lens in Lens:
        for one, other in (
            (screened[lens].top, exact[lens].top),
            (screened[lens].bottom, exact[lens].bottom),
        ):
            ours, theirs = one.scores[row], other.scores[place]
            close = torch.isclose(ours, theirs, rtol=1e-5, atol=float(theirs.abs().max()) * 1e-5)
            if not (close & ((one.ids[row] == other.ids[place]) | _tied(theirs))).all():
                return False
    return True


def _tied(scores: Tensor) -> Tensor:
    """Which scores have a neighbour within 1e-5 relative, or stand last and may tie with one that is not listed."""
    near = (scores[:-1] - scores[1:]).abs() <= 1e-5 * scores[:-1].abs()
    last = torch.ones(1, dtype=torch.bool)
    return torch.cat([near, last]) | torch.cat([torch.zeros(1, dtype=torch.bool), near])
