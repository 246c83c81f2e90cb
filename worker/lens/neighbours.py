"""The nearest neighbours of each row of a layer by cosine: the rows decoded through themselves.

Screened in int8 where labels are, otherwise computed in fp32; exact either way. Knows rows; knows nothing of neurons or
tokens.
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
    """Find the k other rows with the highest cosine to each row: indices and cosines `(rows, k)`.

    Args:
        rows: `(rows, width)`, fp32.
        bound: the bound that int8 screening uses; None to compute in fp32.
    """
    k = min(k, len(rows) - 1)
    lengths = torch.linalg.vector_norm(rows, dim=1)
    inverse = torch.where(lengths > 0, 1 / lengths, 0.0)  # (rows,)
    if bound is None or not k:
        return _in_fp32(rows, inverse, torch.arange(len(rows), device=rows.device), k)
    selected = _screen_in_int8(rows, k + 1, bound)
    neighbours = _drop_self(selected.tokens, selected.scores * inverse[:, None])
    uncertain = selected.certain.logical_not().nonzero()[:, 0]
    if len(uncertain):
        exact = _in_fp32(rows, inverse, uncertain, k)
        neighbours.ids[uncertain], neighbours.scores[uncertain] = exact.ids, exact.scores
    return neighbours


def _in_fp32(rows: Tensor, inverse: Tensor, indices: Tensor, k: int) -> Extremes:
    """Find the neighbours of the rows at `indices` in fp32; `inverse` is 1 over each row's length."""
    ids, scores = rows.new_empty(len(indices), k, dtype=torch.long), rows.new_empty(len(indices), k)
    for start in range(0, len(indices), MOST_ROWS):
        block = indices[start : start + MOST_ROWS]
        cosines = (rows[block] * inverse[block, None] @ rows.T).mul_(inverse)  # (block, rows)
        cosines.scatter_(1, block[:, None], -torch.inf)
        torch.topk(cosines, k, dim=1, out=(scores[start : start + len(block)], ids[start : start + len(block)]))
    return Extremes(ids, scores)


def _screen_in_int8(rows: Tensor, k: int, bound: Bound) -> Selected:
    """Find the `k` rows with the highest cosine to each row by int8 screening; the row itself is usually among them."""
    head = Head(rows, torch.arange(len(rows)))
    rounded = RoundedHead(head, bound)

    def best(block: Tensor) -> Selected:
        screened = Int8Product(rounded, len(block)).run(block, (1,), ())
        return Selection(head, screened, [Lens.cosine], 1).run(k)[Lens.cosine]

    parts = on_all_cores(best, blocks(rows, MOST_ROWS))
    columns = zip(*((part.tokens, part.scores, part.certain) for part in parts), strict=True)
    tokens, scores, certain = (torch.cat(column) for column in columns)
    return Selected(tokens, scores, certain, sum(part.rescored for part in parts))


def _drop_self(ids: Tensor, scores: Tensor) -> Extremes:
    """Drop each row's own index from `(rows, k + 1)`, or the last column where identical rows have displaced it."""
    own = ids == torch.arange(len(ids))[:, None]
    place = torch.where(own.any(1), own.float().argmax(1), ids.shape[1] - 1)  # (rows,)
    columns = torch.arange(ids.shape[1] - 1).expand(len(ids), -1)
    columns = columns + (columns >= place[:, None])
    return Extremes(ids.gather(1, columns), scores.gather(1, columns))
