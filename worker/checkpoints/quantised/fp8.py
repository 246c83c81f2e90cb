"""FP8 weights: an 8-bit float times the scale of its block, its row, or the whole tensor.

As written by DeepSeek and Qwen (`weight_scale_inv` for each block), fbgemm and compressed-tensors (`weight_scale`).
In spite of its name `weight_scale_inv` multiplies, as in transformers' `Fp8Dequantize`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from worker.checkpoints.quantised.method import UnreadableWeight, take

_WEIGHT_TYPES = (torch.float8_e4m3fn, torch.float8_e5m2)
_SCALE_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e8m0fnu)


@dataclass(frozen=True)
class FP8:
    """FP8 with scales for blocks of `block` rows and columns, if a block is set, or else for rows or tensors."""

    block: tuple[int, int] | None = None
    name: str = "fp8"

    def dequantise(self, module: str, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:  # noqa: ARG002  (all alike)
        scale_name = "weight_scale" if "weight_scale" in parts else "weight_scale_inv"
        weight, scale = take(parts, "weight", scale_name)
        if weight.dtype not in _WEIGHT_TYPES or weight.ndim != 2:
            raise UnreadableWeight(f"it has a scale, but is stored as {weight.dtype} of {weight.ndim} dimensions")
        if scale.dtype not in _SCALE_TYPES:
            raise UnreadableWeight(f"its scale is stored as {scale.dtype}, which has no values by itself")
        values: torch.Tensor = weight.float() * self._spread(scale.float(), weight.shape)  # (out, in)
        return values

    def _spread(self, scale: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """The scale in a shape that can be multiplied with a weight of this shape."""
        rows, width = shape
        if scale.numel() == 1:
            return scale.reshape(1, 1)
        if self.block is None:
            if scale.shape in ((rows,), (rows, 1)):
                return scale.reshape(rows, 1)
            raise UnreadableWeight(f"it has {tuple(scale.shape)} scales for {rows} rows")
        high, wide = self.block
        if scale.shape != (math.ceil(rows / high), math.ceil(width / wide)):
            raise UnreadableWeight(f"it has {tuple(scale.shape)} scales for {rows} x {width} values in {high} x {wide}")
        spread = scale.repeat_interleave(high, 0)[:rows]  # (out, blocks)
        return spread.repeat_interleave(wide, 1)[:, :width]  # (out, in)


def read_block(size: Any) -> tuple[int, int] | None:
    """The rows and columns that share a scale, or None where a row or a tensor has its own.

    Raises:
        UnreadableWeight: the configuration's `size` is no size of a block.
    """
    if size is None:
        return None
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(side, int) and side > 0 for side in size):
        raise UnreadableWeight(f"its blocks are of the size {size!r}, which cannot be")
    return size[0], size[1]
