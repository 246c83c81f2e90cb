"""The choice between int8 screening, bf16 and fp32: the fastest of those that lose nothing on this machine.

On a CPU the choice is measured, never guessed. The decoder also checks itself: a few rows of every batch are decoded in
fp32 as well, and a batch that differs is decoded anew.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.errors import EngineError
from worker.lens.codes import largest_code
from worker.lens.decoded import Decoded
from worker.lens.exact import BOTH, Head, decode
from worker.lens.gemm import bf16_pays, fits_bf16, keep_precision
from worker.lens.rounding import TILE, Bound
from worker.lens.screen import Screen
from worker.lens.statistics import fp32_blocks
from worker.machine.cores import one_core, rows_at_once

Precision = Literal["auto", "fp32", "bf16", "certified", "verified"]
FASTER = 2.0  # int8 products must be this much faster than fp32 to be worth their overhead
MANY = 1 / 300  # share of the vocabulary scored in fp32 in a search, above which that costs more than the int8 product
LEAST_WEIGHTS = 2**16  # of a head: a smaller one is decoded before a timing could tell the two ways apart
CHECKED = 4  # rows of each batch that are also decoded in fp32


@dataclass(frozen=True)
class BatchOutcome:
    """How a batch went: rows left to fp32, rows checked in fp32, how many of those differed, rows rounded to bf16."""

    rows: int
    left_to_fp32: int
    checked: int
    differed: int
    rounded: int = 0


class Decoder:
    """Decodes rows through one head.

    Args:
        head: the prepared head.
        precision: a way to decode, or `auto` for the best of those that lose nothing: on CUDA bf16 where the head is
            stored so, else fp32; on a CPU what is measured to be fastest, for which `sample` shows it typical rows.
            `bf16` rounds what is not bf16 already.
        lenses: the lenses to decode under.

    Raises:
        EngineError: the device cannot decode in this precision.
    """

    def __init__(self, head: Head, precision: Precision, sample: Tensor, lenses: Sequence[Lens] = BOTH) -> None:
        keep_precision()
        self.head, self.lenses = head, lenses
        self.precision: Precision = "fp32"
        self._screen: Screen | None = None
        self._in_bf16 = precision == "bf16" or (precision == "auto" and _bf16_pays(head))
        self._may_round = precision == "bf16"
        self._head_rounded = False
        if self._in_bf16:
            self.precision = "bf16"
            self.head, self._head_rounded = _in_bf16(head)
        elif precision != "fp32":
            self._screen = _screen(head, precision, sample, lenses)
            self.precision = self._screen.bound.value if self._screen else "fp32"

    @property
    def bound(self) -> Bound | None:
        """The bound of the int8 screening; None where the decoder does not screen."""
        return self._screen.bound if self._screen else None

    def decode(self, rows: Tensor, top_k: int, bottom_k: int) -> tuple[dict[Lens, Decoded], BatchOutcome]:
        """Decode `rows` `(rows, width)` under every lens; return the result and how the batch went."""
        fast = self._decode_fast(rows, top_k, bottom_k)
        if fast is None:
            return self._in_fp32(rows, top_k, bottom_k), BatchOutcome(len(rows), len(rows), 0, 0)
        checked = torch.linspace(0, len(rows) - 1, min(CHECKED, len(rows)), device=rows.device).long()
        exact = self._in_fp32(fast.rows[checked], top_k, bottom_k, figures=False)
        differed = sum(not _agree(fast.decoded, exact, row, place) for place, row in enumerate(checked.tolist()))
        if differed:
            exact = self._in_fp32(fast.rows, top_k, bottom_k)
            return exact, BatchOutcome(len(rows), len(rows), len(checked), differed, fast.rounded)
        return fast.decoded, BatchOutcome(len(rows), fast.left_to_fp32, len(checked), 0, fast.rounded)

    def ends(self, rows: Tensor) -> dict[Lens, Decoded]:
        """Decode only the best tokens at each end and their z, unchecked: all that is needed of control rows."""
        fast = self._decode_fast(rows, top_k=2, bottom_k=1, figures=False)
        return self._in_fp32(rows, top_k=2, bottom_k=1, figures=False) if fast is None else fast.decoded

    def _decode_fast(self, rows: Tensor, top_k: int, bottom_k: int, figures: bool = True) -> "_FastResult | None":
        """Decode the rows by screening or in bf16; None where these rows can only be decoded in fp32."""
        if self._screen is not None:
            decoded, effort = self._screen.decode(rows, top_k, bottom_k, self.lenses, figures)
            return _FastResult(decoded, effort.left_to_fp32, rows)
        if not self._in_bf16:
            return None
        fits = fits_bf16(rows)  # (rows,)
        if not (self._may_round or fits.all()):
            return None
        decoded = decode(rows, self.head, top_k, bottom_k, self.lenses, torch.bfloat16, figures)
        rounded = len(rows) if self._head_rounded else int(fits.logical_not().sum())
        return _FastResult(decoded, 0, rows.bfloat16().float(), rounded)

    def _in_fp32(self, rows: Tensor, top_k: int, bottom_k: int, figures: bool = True) -> dict[Lens, Decoded]:
        return decode(rows, self.head, top_k, bottom_k, self.lenses, figures=figures)


@dataclass(frozen=True)
class _FastResult:
    """What screening or bf16 gave, and the rows from which fp32 should give the same."""

    decoded: dict[Lens, Decoded]
    left_to_fp32: int
    rows: Tensor
    rounded: int = 0


def _bf16_pays(head: Head) -> bool:
    """Whether bf16 loses nothing and is fast."""
    return head.weight.dtype is torch.bfloat16 and bf16_pays(head.weight.device)


def _in_bf16(head: Head) -> tuple[Head, bool]:
    """The head in bf16, and whether that changed any of its weights."""
    return head.in_bf16(), not all(fits_bf16(block).all() for block in fp32_blocks(head.weight))


def _screen(head: Head, precision: Precision, sample: Tensor, lenses: Sequence[Lens]) -> Screen | None:
    """Build the int8 screen of this precision; for `auto` the best one, or None where screening is not worth it."""
    on_cpu = head.weight.device.type == "cpu"
    if precision == "auto":
        return _best_screen(head, sample, lenses) if on_cpu else None
    if not on_cpu:
        raise EngineError(f"Precision {precision} screens in int8, on the CPU only. Ask for auto, bf16 or fp32.")
    if largest_code(head.weight.shape[1]) is None:
        raise EngineError(f"Precision {precision} screens in int8, which this processor adds up wrongly. Ask for fp32.")
    return Screen(head, Bound(precision))


def _best_screen(head: Head, sample: Tensor, lenses: Sequence[Lens]) -> Screen | None:
    """Choose the fastest screen; None where fp32 is faster.

    It has the worst-case bound if that leaves few enough tokens of the sample to be scored in fp32.
    """
    exact = largest_code(head.weight.shape[1]) is not None
    if head.weight.numel() < LEAST_WEIGHTS or not (exact and _int8_pays(head)):
        return None
    screen = Screen(head, Bound.certified)
    _, effort = screen.decode(sample, lenses=lenses)
    scored = effort.rescored / 2 + effort.left_to_fp32 * head.vocab  # tokens, a search
    if scored <= MANY * len(sample) * head.vocab:
        return screen
    del screen  # free its memory before the next one is built
    return Screen(head, Bound.verified)


def _int8_pays(head: Head) -> bool:
    """Whether this machine multiplies int8 so much faster that screening is worth it, in products of the real size."""
    rows, tile = head.weight[: rows_at_once(head.vocab)].float(), head.weight[:TILE].float()
    codes = [vectors.clamp(-1, 1).mul(127).to(torch.int8) for vectors in (rows, tile)]
    with one_core():
        try:
            int8 = _seconds(lambda: torch._int_mm(codes[0], codes[1].T))
        except RuntimeError:  # no int8 product for this width or device
            return False
        return _seconds(lambda: torch.mm(rows, tile.T)) > FASTER * int8


def _seconds(run: Callable[[], Tensor]) -> float:
    """The shortest of five runs, after one to warm up."""
    run()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _agree(fast: dict[Lens, Decoded], exact: dict[Lens, Decoded], row: int, place: int) -> bool:
    """Whether the fast and the exact result name the same tokens, up to scores that fp32 cannot tell apart."""
    for lens in fast:
        for fast_end, exact_end in (
            (fast[lens].top, exact[lens].top),
            (fast[lens].bottom, exact[lens].bottom),
        ):
            ours, theirs = fast_end.scores[row], exact_end.scores[place]
            if not len(theirs):  # this end was not decoded
                continue
            close = torch.isclose(ours, theirs, rtol=1e-5, atol=float(theirs.abs().max()) * 1e-5)
            if not (close & ((fast_end.ids[row] == exact_end.ids[place]) | _tied(theirs))).all():
                return False
    return True


def _tied(scores: Tensor) -> Tensor:
    """Which scores have a neighbour within 1e-5 relative, or stand last and may tie with one that is not listed."""
    near = (scores[:-1] - scores[1:]).abs() <= 1e-5 * scores[:-1].abs()
    return torch.cat([near, near.new_ones(1)]) | torch.cat([near.new_zeros(1), near])
