"""The largest code of int8 products that this processor adds up without loss, as every bound on them assumes.

Without VNNI or the like, oneDNN adds pairs of products in 16 bits, which the largest codes overflow. Codes of half the
size fit, and still multiply twice as fast as fp32. So both are tried, in the shape of a tile.
"""

from functools import cache

import torch

CODES = (127, 63)  # largest codes, in the order in which they are tried
FEW = 32  # rows of the trial
MANY = 1024  # and tokens


@cache
def largest_code(width: int) -> int | None:
    """The largest code for vectors of this width; None if this processor adds up none of them, or has no product."""
    return next((code for code in CODES if adds_up(width, code)), None)


def adds_up(width: int, code: int) -> bool:
    """Whether products of vectors of this width are exact where all codes are the largest, of either sign."""
    signs = torch.tensor([[1], [-1]], dtype=torch.int8).repeat(FEW // 2, 1)  # (FEW, 1)
    rows = (code * signs).expand(-1, width).contiguous()
    tile = (code * signs.repeat(MANY // FEW, 1)).expand(-1, width).contiguous()
    try:
        product = torch._int_mm(rows, tile.T)  # (FEW, MANY)
    except RuntimeError:  # there is none for this width or device
        return False
    expected = code * code * width * signs.int() * signs.repeat(MANY // FEW, 1).int().T
    return torch.equal(product, expected)
