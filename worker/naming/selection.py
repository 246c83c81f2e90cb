"""The best tokens of each row by their exact scores, found through screened scores and a bound on their error.

First the tokens that look best are scored in fp32; the k-th best of these is a floor that the true k-th best reaches
too. Then every other token whose screened score plus the bound reaches the floor is scored in fp32. Different rows
need different numbers of tokens: they are held as two flat lists, the row and the token of each, ordered by row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.contract import Lens
from worker.naming.lens import Head
from worker.naming.products import Screened

CROWDED = 8  # a row is given up if more than one bucket in so many has to be looked into
AT_ONCE = 2**18  # values gathered at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Selected:
    """The best tokens of each row, best first, ties to the lower one."""

    tokens: Tensor  # (rows, k)
    scores: Tensor  # (rows, k), exact, before the row's own length is divided out
    certain: Tensor  # (rows,): False where the row was given up
    rescored: int


class Selection:
    """The search for the best tokens at one end of the scores.

    Args:
        head: the head in fp32.
        screened: rows, with their screened scores.
        lens: what a token's score is multiplied by.
        sign: 1 for the highest scores, -1 for the lowest.
    """

    def __init__(self, head: Head, screened: Screened, lens: Lens, sign: int) -> None:
        self._head, self._screened, self._sign = head, screened, sign
        self._norms = screened.head.norms if lens is Lens.logit else None  # (buckets, BUCKET)
        self._factors = head.scale if lens is Lens.cosine else None  # (vocab,)

    def run(self, k: int) -> Selected:
        """The `k` best, at most as many as there are tokens."""
        least, most, bound = self._of_buckets()
        crowd = max(least.shape[1] // CROWDED, 4 * k)
        likely = _threshold(least, k)[:, None]  # (rows, 1): at least k tokens reach it
        looked_into = most >= likely
        certain = looked_into.sum(1) <= crowd
        of_rows, buckets, scores = self._of_tokens(looked_into & certain[:, None])
        first = self._rescored(of_rows, buckets, scores >= likely[of_rows], at_least=k)
        floor = first[1].topk(k).values[:, -1:]  # (rows, 1)

        looked_into = most + bound >= floor
        certain &= looked_into.sum(1) <= crowd
        of_rows, buckets, scores = self._of_tokens(looked_into & certain[:, None])
        reach = scores + bound[of_rows, buckets, None] >= floor[of_rows]
        rest = self._rescored(of_rows, buckets, reach & (scores < likely[of_rows]))
        tokens, exact = torch.cat([first[0], rest[0]], 1), torch.cat([first[1], rest[1]], 1)
        return Selected(*_best(tokens, exact, k), certain, rescored=int((tokens < self._head.vocab).sum()))

    def _of_buckets(self) -> tuple[Tensor, Tensor, Tensor]:
        """Screened score of each bucket's best token, at least and at most, and how far off; `(rows, buckets)` each."""
        scores, bound = self._screened.of_buckets(self._sign), self._screened.bound
        if self._norms is None:
            return scores, scores, bound
        shortest, longest = self._norms.aminmax(dim=1)  # (buckets,) each
        low, high = scores * shortest, scores * longest
        return torch.minimum(low, high), torch.maximum(low, high), bound * longest

    def _of_tokens(self, looked_into: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows and buckets `(places,)` of a mask `(rows, buckets)`, and screened scores `(places, BUCKET)`."""
        of_rows, buckets = looked_into.nonzero(as_tuple=True)
        scores = self._screened.of_tokens(self._sign, of_rows, buckets)
        return of_rows, buckets, scores if self._norms is None else scores.mul_(self._norms[buckets])

    def _rescored(self, of_rows: Tensor, buckets: Tensor, chosen: Tensor, at_least: int = 0) -> tuple[Tensor, Tensor]:
        """Tokens and exact scores of each row's chosen ones of `(places, BUCKET)`, side by side: `(rows, most)` each.

        Rows with fewer are filled up with a token beyond the last, which scores minus infinity.
        """
        head = self._screened.head
        places, inside = (chosen & head.real[buckets]).nonzero(as_tuple=True)
        rows, tokens = of_rows[places], head.tokens[buckets[places], inside]  # (members,) each
        scores = _products(self._screened.rows, self._head.weight, rows, tokens)
        if self._factors is not None:
            scores *= self._factors[tokens]
        counts = torch.bincount(rows, minlength=len(self._screened.rows))
        columns = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        shape = len(counts), max(at_least, int(counts.max()))
        by_row = torch.full(shape, self._head.vocab), scores.new_full(shape, -torch.inf)
        by_row[0][rows, columns], by_row[1][rows, columns] = tokens, scores * self._sign
        return by_row


def _threshold(maxima: Tensor, k: int) -> Tensor:
    """A value that at least `k` of each row's bucket maxima reach, `(rows,)`; minus infinity where there are fewer.

    It is the k-th largest of the maxima of groups of buckets: a little lower than the k-th of all, and quicker to find.
    """
    buckets = maxima.shape[1]
    if buckets < k:
        return maxima.new_full((len(maxima),), -torch.inf)
    group = max(1, min(16, buckets // (4 * k)))
    groups = maxima[:, : buckets // group * group].view(len(maxima), group, -1).amax(1)  # (rows, groups)
    return groups.topk(k).values[:, -1]


def _products(rows: Tensor, weight: Tensor, of_rows: Tensor, tokens: Tensor) -> Tensor:
    """fp32 products of some rows and tokens, `(members,)`. Equal head rows score the same to the last bit."""
    scores, width = rows.new_empty(len(tokens)), rows.shape[1]
    many = max(1, AT_ONCE // width)
    stored, right = weight.new_empty(many, width), rows.new_empty(many, width)
    for start in range(0, len(tokens), many):
        stop = min(start + many, len(tokens))
        part = torch.index_select(weight, 0, tokens[start:stop], out=stored[: stop - start])
        other = torch.index_select(rows, 0, of_rows[start:stop], out=right[: stop - start])
        torch.sum(other.mul_(part), 1, out=scores[start:stop])  # a product of bf16 and fp32 is fp32
    return scores


def _best(tokens: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The `k` tokens with the highest scores in each row, and these; ties to the lower token. `(rows, any)` each."""
    tokens, order = tokens.sort(dim=1)
    scores, by_score = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return tokens.gather(1, by_score[:, :k]), scores[:, :k]
