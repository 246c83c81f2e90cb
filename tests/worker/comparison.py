"""Labels found one way against labels found another."""

from worker.lens.decoded import Decoded


def same(one: Decoded, other: Decoded, rounding: float = 1e-6) -> bool:
    """Equal scores, and equal ids wherever fp32 can tell neighbouring scores apart.

    `other` lists one token more at each end, so that it says of the last one too whether it stands alone. `rounding` is
    what either way may lose, relative to the largest score of the row.
    """
    for ours, theirs in ((one.top, other.top), (one.bottom, other.bottom)):
        k = ours.scores.shape[1]
        if not k:
            continue
        size = theirs.scores.abs().amax(1, keepdim=True)
        if not ((ours.scores - theirs.scores[:, :k]).abs() <= 2 * rounding * size).all():
            return False
        gap = (theirs.scores[:, :-1] - theirs.scores[:, 1:]).abs() > 4 * rounding * size  # (rows, any)
        clear = gap[:, :k].clone()
        clear[:, 1:] &= gap[:, : k - 1]
        if not (ours.ids == theirs.ids[:, :k])[clear].all():
            return False
    return True
