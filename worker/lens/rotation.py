"""A change of basis that changes no product and leaves no channel standing out.

Signs are flipped at random, and the channels, laid out as a grid, go through a Hartley transform (a real Fourier
transform) along both sides: each old channel is spread evenly over all the new ones. Knows nothing of what the vectors
are.
"""

import math

import torch
from torch import Tensor


class Rotation:
    """An orthogonal map of vectors of one width."""

    def __init__(self, width: int) -> None:
        short = max(size for size in range(1, math.isqrt(width) + 1) if width % size == 0)
        self._sides = _hartley(short), _hartley(width // short)
        signs = torch.randint(0, 2, (width,), generator=torch.Generator().manual_seed(0))
        self._signs = (2 * signs - 1).float()  # (width,)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Rotate `(vectors, width)` into a new tensor."""
        short, long = self._sides
        grid = (vectors * self._signs).view(-1, len(long)) @ long  # (vectors * short, long)
        turned = grid.view(len(vectors), len(short), len(long)).transpose(1, 2).reshape(-1, len(short)) @ short
        return turned.view_as(vectors)


def _hartley(size: int) -> Tensor:
    """The transform's matrix, `(size, size)`: orthogonal, and no entry larger than the square root of 2 / size."""
    places = torch.arange(size, dtype=torch.float64)
    angles = 2 * torch.pi * (torch.outer(places, places) % size) / size
    return ((angles.cos() + angles.sin()) / math.sqrt(size)).float()
