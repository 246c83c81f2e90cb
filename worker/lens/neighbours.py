"""Which rows of a layer point most nearly the same way: the rows decoded through themselves, by cosine.

Screened in int8 where labels are, in fp32 elsewhere; exact either way. Knows rows; knows nothing of neurons or tokens.
"""

import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.lens.decoded import Extremes
from worker.lens.exact import Head
from worker.lens.products import Int8Product
from worker.lens.rounding import Bound, RoundedHead
from worker.lens.selection import Selected, Selection
from worker.machine.cores import MOST_ROWS, blocks, on_all_cores


def nearest(rows: Tensor, k: int = 5, bound: Bound | None = None) -> Extremes:
    """The k rows that point most nearly the same way as each row, itself left out: indices and cosines `(rows, k)`.

    Args:
        rows: `(rows, width)`, fp32.
        bound: of the int8 screening; None for fp32.
    """
    k = min(k, len(rows) - 1)
    lengths = torch.linalg.vector_norm(rows, dim=1)
    inverse = torch.where(lengths > 0, 1 / lengths, 0.0)  # (rows,)
    if bound is None or not k:
        return _in_fp32(rows, inverse, torch.arange(len(rows), device=rows.device), k)
    found = _screened(rows, k + 1, bound)
    near = _without_themselves(found.tokens, found.scores * inverse[:, None])
    left = found.certain.logical_not().nonzero()[:, 0]
    if len(left):
        exact = _in_fp32(rows, inverse, left, k)
        near.ids[left], near.scores[left] = exact.ids, exact.scores
    return near


def _in_fp32(rows: Tensor, inverse: Tensor, asked: Tensor, k: int) -> Extremes:
    """For the rows at `asked`; `inverse` is 1 over each row's length."""
    ids, scores = rows.new_empty(len(asked), k, dtype=torch.long), rows.new_empty(len(asked), k)
    for start in range(0, len(asked), MOST_ROWS):
        some = asked[start : start + MOST_ROWS]
        cosines = (rows[some] * inverse[some, None] @ rows.T).mul_(inverse)  # (some, rows)
        cosines.scatter_(1, some[:, None], -torch.inf)
        torch.topk(cosines, k, dim=1, out=(scores[start : start + len(some)], ids[start : start + len(some)]))
    return Extremes(ids, scores)


def _screened(rows: Tensor, k: int, bound: Bound) -> Selected:
    """The `k` best of all rows for each row, mostly itself among them."""
    head = Head(rows, torch.arange(len(rows)))
    rounded = RoundedHead(head, bound)

    def best(block: Tensor) -> Selected:
        screened = Int8Product(rounded, len(block)).run(block, (1,), ())
        return Selection(head, screened, [Lens.cosine], 1).run(k)[Lens.cosine]

    parts = on_all_cores(best, blocks(rows, MOST_ROWS))
    columns = zip(*((part.tokens, part.scores, part.certain) for part in parts), strict=True)
    tokens, scores, certain = (torch.cat(column) for column in columns)
    return Selected(tokens, scores, certain, sum(part.rescored for part in parts))


def _without_themselves(ids: Tensor, scores: Tensor) -> Extremes:
    """One place less a row, of `(rows, k + 1)`: its own, or the last where twins have pushed it out."""
    own = ids == torch.arange(len(ids))[:, None]
    place = torch.where(own.any(1), own.float().argmax(1), ids.shape[1] - 1)  # (rows,)
    kept = torch.arange(ids.shape[1] - 1).expand(len(ids), -1)
    kept = kept + (kept >= place[:, None])
    return Extremes(ids.gather(1, kept), scores.gather(1, kept))
