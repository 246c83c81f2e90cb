"""Rows times a tile of the head, in fp32, on the device they are on. Knows nothing of tokens or lenses.

Two bf16 numbers multiply exactly in fp32, so a bf16 product that is summed and returned in fp32 is the fp32 product of
the same numbers but for the order of the sum. torch gives that on CUDA (`out_dtype`); elsewhere bf16 is widened first.
"""

import torch
from torch import Tensor


class RowProducts:
    """Products of the same rows with one tile after the other.

    Args:
        rows: `(rows, width)`, fp32 or bf16.
    """

    def __init__(self, rows: Tensor) -> None:
        self._rows, self._wide, self._spare = rows, rows.float(), rows.new_empty(0, dtype=torch.float32)

    def __call__(self, tile: Tensor) -> Tensor:
        """Compute `rows @ tile.T` in fp32, `(rows, tokens)`; the tile, `(tokens, width)`, is fp32 or bf16."""
        if tile.is_cuda and self._rows.dtype is tile.dtype is torch.bfloat16:
            return torch.mm(self._rows, tile.T, out_dtype=torch.float32)
        return torch.mm(self._wide, self._widened(tile).T)

    def _widened(self, tile: Tensor) -> Tensor:
        """Convert the tile to fp32, in memory that the next tile uses again."""
        if tile.dtype is torch.float32:
            return tile
        if self._spare.numel() < tile.numel():
            self._spare = torch.empty_like(tile, dtype=torch.float32)
        return self._spare[: len(tile)].copy_(tile)


def bf16_pays(device: torch.device) -> bool:
    """Whether the device multiplies bf16 in hardware and returns the sums in fp32."""
    if device.type != "cuda" or not torch.cuda.is_bf16_supported(including_emulation=False):
        return False
    few = torch.ones(16, 16, dtype=torch.bfloat16, device=device)
    try:
        return RowProducts(few)(few).dtype is torch.float32
    except (RuntimeError, TypeError):  # a build of torch or of the BLAS without it
        return False


def keep_precision() -> None:
    """Keep torch in this process from computing fp32 products in TF32 and from summing bf16 products in bf16."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def fits_bf16(vectors: Tensor) -> Tensor:
    """Which vectors of `(vectors, width)` bf16 holds without rounding, `(vectors,)`."""
    if vectors.dtype is torch.bfloat16:
        return torch.ones(len(vectors), dtype=torch.bool, device=vectors.device)
    return (vectors.bfloat16().float() == vectors).all(1)
