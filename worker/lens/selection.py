"""The best tokens of each row by their exact scores, found through screened scores and a bound on their error.

First the tokens that look best are scored in fp32; the k-th best of these is a floor that the true k-th best reaches
too. Then every other token whose screened score plus the bound reaches the floor is scored in fp32. Different rows
need different numbers of tokens: they are held as two flat lists, the row and the token of each, ordered by row.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.lens.exact import Head
from worker.lens.products import Screened

CROWDED = 8  # a row is given up if more than one bucket in so many has to be looked into
AT_ONCE = 2**18  # values gathered at a time: they stay in the processor's cache


@dataclass(frozen=True)
class Selected:
    """The best tokens of each row, best first, ties to the lower one."""

    tokens: Tensor  # (rows, k)
    scores: Tensor  # (rows, k), exact, before the row's own length is divided out
    certain: Tensor  # (rows,): False where the row was given up
    rescored: int


class _Ends(NamedTuple):
    """Of each bucket's best token: its screened score at least and at most, and how far off; `(rows, buckets)` each."""

    least: Tensor
    most: Tensor
    bound: Tensor


class Selection:
    """The search for the best tokens at one end of the scores, under all lenses together: they want much the same ones.

    Args:
        head: the head in fp32.
        screened: rows, with their screened scores.
        lenses: those asked for.
        sign: 1 for the highest scores, -1 for the lowest.
    """

    def __init__(self, head: Head, screened: Screened, lenses: Sequence[Lens], sign: int) -> None:
        self._head, self._screened, self._lenses, self._sign = head, screened, lenses, sign
        self._scale = torch.cat([head.scale, head.scale.new_ones(1)])  # (vocab + 1,): the last fills up, see _rescored

    def run(self, k: int) -> dict[Lens, Selected]:
        """The `k` best, at most as many as there are tokens."""
        ends = {lens: self._of_buckets(lens) for lens in self._lenses}
        likely = {lens: _threshold(end.least, k)[:, None] for lens, end in ends.items()}
        looked_into = _any(end.most >= likely[lens] for lens, end in ends.items())  # (rows, buckets)
        certain = self._few(looked_into, k)
        of_rows, buckets, scores = self._of_tokens(looked_into & certain[:, None])
        known = _any(scores[lens] >= likely[lens][of_rows] for lens in scores)  # (places, BUCKET)
        first = self._rescored(of_rows, buckets, known, at_least=k)
        floors = {lens: self._under(lens, *first).topk(k).values[:, -1:] for lens in ends}

        looked_into = _any(end.most + end.bound >= floors[lens] for lens, end in ends.items())
        certain &= self._few(looked_into, k)
        of_rows, buckets, scores = self._of_tokens(looked_into & certain[:, None])
        known = _any(scores[lens] >= likely[lens][of_rows] for lens in scores)
        possible = _any(
            scores[lens] + end.bound[of_rows, buckets, None] >= floors[lens][of_rows] for lens, end in ends.items()
        )
        rest = self._rescored(of_rows, buckets, possible & ~known)
        tokens, exact = torch.cat([first[0], rest[0]], 1), torch.cat([first[1], rest[1]], 1)
        rescored = int((tokens < self._head.vocab).sum())
        return {lens: Selected(*_best(tokens, self._under(lens, tokens, exact), k), certain, rescored) for lens in ends}

    def _few(self, looked_into: Tensor, k: int) -> Tensor:
        """For which rows of `(rows, buckets)` looking into each bucket costs less than all in fp32, `(rows,)`."""
        return looked_into.sum(1) <= max(looked_into.shape[1] // CROWDED, 4 * k)

    def _under(self, lens: Lens, tokens: Tensor, exact: Tensor) -> Tensor:
        """Exact scores under a lens of products with the head's rows as they are, `(rows, any)`."""
        return exact if lens is Lens.logit else exact * self._scale[tokens]

    def _of_buckets(self, lens: Lens) -> "_Ends":
        scores, bound = self._screened.of_buckets(self._sign), self._screened.bound
        if lens is Lens.cosine:
            return _Ends(scores, scores, bound)
        shortest, longest = self._screened.head.norms.aminmax(dim=1)  # (buckets,) each
        low, high = scores * shortest, scores * longest
        return _Ends(torch.minimum(low, high), torch.maximum(low, high), bound * longest)

    def _of_tokens(self, looked_into: Tensor) -> tuple[Tensor, Tensor, dict[Lens, Tensor]]:
        """Rows and buckets `(places,)` of a mask `(rows, buckets)`, and screened scores `(places, BUCKET)`."""
        of_rows, buckets = looked_into.nonzero(as_tuple=True)
        unit = self._screened.of_tokens(self._sign, of_rows, buckets)
        norms = self._screened.head.norms
        return of_rows, buckets, {lens: unit if lens is Lens.cosine else unit * norms[buckets] for lens in self._lenses}

    def _rescored(self, of_rows: Tensor, buckets: Tensor, chosen: Tensor, at_least: int = 0) -> tuple[Tensor, Tensor]:
        """Tokens and exact products of each row's chosen ones of `(places, BUCKET)`, side by side: `(rows, most)` each.

        Rows with fewer are filled up with a token beyond the last, which scores minus infinity.
        """
        head = self._screened.head
        places, inside = (chosen & head.real[buckets]).nonzero(as_tuple=True)
        rows, tokens = of_rows[places], head.tokens[buckets[places], inside]  # (members,) each
        scores = _products(self._screened.rows, self._head.weight, rows, tokens)
        counts = torch.bincount(rows, minlength=len(self._screened.rows))
        columns = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        shape = len(counts), max(at_least, int(counts.max()))
        by_row = torch.full(shape, self._head.vocab), scores.new_full(shape, -torch.inf)
        by_row[0][rows, columns], by_row[1][rows, columns] = tokens, scores * self._sign
        return by_row


def _any(masks: Iterable[Tensor]) -> Tensor:
    return reduce(torch.logical_or, masks)


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
    """fp32 products of some rows and tokens, `(members,)`. Equal head rows score the same to the last bit.

    Args:
        of_rows: ascending.
    """
    if weight.dtype is torch.float32:
        return _sampled(rows, weight, of_rows, tokens)
    return _gathered(rows, weight, of_rows, tokens)


with warnings.catch_warnings():  # torch says once in a process that such tensors are young
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
    torch.zeros(1, 1).to_sparse_csr()


def _sampled(rows: Tensor, weight: Tensor, of_rows: Tensor, tokens: Tensor) -> Tensor:
    """The members are the places of a sparse matrix: nothing is copied, but both sides have to be fp32."""
    ends = torch.bincount(of_rows, minlength=len(rows)).cumsum(0)
    places = torch.sparse_csr_tensor(
        torch.cat([ends.new_zeros(1), ends]),
        tokens,
        rows.new_zeros(len(tokens)),
        size=(len(rows), len(weight)),
        check_invariants=False,  # of a row's tokens is asked that they ascend, which makes no difference here
    )
    products: Tensor = torch.sparse.sampled_addmm(places, rows, weight.T, beta=0.0).values()
    return products


def _gathered(rows: Tensor, weight: Tensor, of_rows: Tensor, tokens: Tensor) -> Tensor:
    """Copies of each member's two vectors, multiplied and summed; half the memory to read where the head is bf16."""
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
    highest = scores.topk(k, sorted=False)
    last = highest.values.amin(1, keepdim=True)
    if ((scores >= last).sum(1) > k).any():  # a token outside has the score of the last: all are put in order
        return _in_order(tokens, scores, k)
    return _in_order(tokens.gather(1, highest.indices), highest.values, k)


def _in_order(tokens: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    tokens, order = tokens.sort(dim=1)
    scores, by_score = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return tokens.gather(1, by_score[:, :k]), scores[:, :k]
