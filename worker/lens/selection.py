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
from worker.lens.products import ScreenedScores

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
    """Limits of the screened score of each bucket's best token, and its error; `(rows, buckets)` each."""

    least: Tensor
    most: Tensor
    bound: Tensor


class Selection:
    """The search for the best tokens at one end of the scores, under all lenses together: most are shared.

    Args:
        head: the head in fp32.
        screened: rows, with their screened scores.
        lenses: the lenses to search under.
        sign: 1 for the highest scores, -1 for the lowest.
    """

    def __init__(self, head: Head, screened: ScreenedScores, lenses: Sequence[Lens], sign: int) -> None:
        self._head, self._screened, self._lenses, self._sign = head, screened, lenses, sign
        self._scale = torch.cat([head.scale, head.scale.new_ones(1)])  # (vocab + 1,): the last fills up, see _rescore

    def run(self, k: int) -> dict[Lens, Selected]:
        """Find the `k` best tokens; `k` is at most the number of tokens."""
        ends = {lens: self._bucket_ends(lens) for lens in self._lenses}
        likely = {lens: _threshold(end.least, k)[:, None] for lens, end in ends.items()}
        opened = _union(end.most >= likely[lens] for lens, end in ends.items())  # (rows, buckets)
        certain = self._is_cheap(opened, k)
        of_rows, buckets, scores = self._token_scores(opened & certain[:, None])
        known = _union(scores[lens] >= likely[lens][of_rows] for lens in scores)  # (places, BUCKET)
        first = self._rescore(of_rows, buckets, known, at_least=k)
        floors = {lens: self._lens_scores(lens, *first).topk(k).values[:, -1:] for lens in ends}

        opened = _union(end.most + end.bound >= floors[lens] for lens, end in ends.items())
        certain &= self._is_cheap(opened, k)
        of_rows, buckets, scores = self._token_scores(opened & certain[:, None])
        known = _union(scores[lens] >= likely[lens][of_rows] for lens in scores)
        possible = _union(
            scores[lens] + end.bound[of_rows, buckets, None] >= floors[lens][of_rows] for lens, end in ends.items()
        )
        rest = self._rescore(of_rows, buckets, possible & ~known)
        tokens, exact = torch.cat([first[0], rest[0]], 1), torch.cat([first[1], rest[1]], 1)
        rescored = int((tokens < self._head.vocab).sum())
        return {
            lens: Selected(*_select_best(tokens, self._lens_scores(lens, tokens, exact), k), certain, rescored)
            for lens in ends
        }

    def _is_cheap(self, opened: Tensor, k: int) -> Tensor:
        """Whether scoring the opened buckets `(rows, buckets)` costs less than the whole row in fp32, `(rows,)`."""
        return opened.sum(1) <= max(opened.shape[1] // CROWDED, 4 * k)

    def _lens_scores(self, lens: Lens, tokens: Tensor, exact: Tensor) -> Tensor:
        """Exact scores under a lens, from exact products with the head's rows, `(rows, any)`."""
        return exact if lens is Lens.logit else exact * self._scale[tokens]

    def _bucket_ends(self, lens: Lens) -> "_Ends":
        scores, bound = self._screened.bucket_scores(self._sign), self._screened.bound
        if lens is Lens.cosine:
            return _Ends(scores, scores, bound)
        shortest, longest = self._screened.head.norms.aminmax(dim=1)  # (buckets,) each
        low, high = scores * shortest, scores * longest
        return _Ends(torch.minimum(low, high), torch.maximum(low, high), bound * longest)

    def _token_scores(self, opened: Tensor) -> tuple[Tensor, Tensor, dict[Lens, Tensor]]:
        """Rows and buckets `(places,)` of a mask `(rows, buckets)`, and screened scores `(places, BUCKET)`."""
        of_rows, buckets = opened.nonzero(as_tuple=True)
        unit = self._screened.token_scores(self._sign, of_rows, buckets)
        norms = self._screened.head.norms
        return of_rows, buckets, {lens: unit if lens is Lens.cosine else unit * norms[buckets] for lens in self._lenses}

    def _rescore(self, of_rows: Tensor, buckets: Tensor, chosen: Tensor, at_least: int = 0) -> tuple[Tensor, Tensor]:
        """Score the chosen tokens of `(places, BUCKET)` in fp32: tokens and products by row, `(rows, most)` each.

        Rows with fewer tokens are filled up with a token beyond the last, which scores minus infinity.
        """
        head = self._screened.head
        places, inside = (chosen & head.real[buckets]).nonzero(as_tuple=True)
        rows, tokens = of_rows[places], head.tokens[buckets[places], inside]  # (members,) each
        scores = _exact_products(self._screened.rows, self._head.weight, rows, tokens)
        counts = torch.bincount(rows, minlength=len(self._screened.rows))
        columns = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        shape = len(counts), max(at_least, int(counts.max()))
        by_row = torch.full(shape, self._head.vocab), scores.new_full(shape, -torch.inf)
        by_row[0][rows, columns], by_row[1][rows, columns] = tokens, scores * self._sign
        return by_row


def _union(masks: Iterable[Tensor]) -> Tensor:
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


def _exact_products(rows: Tensor, weight: Tensor, of_rows: Tensor, tokens: Tensor) -> Tensor:
    """fp32 products of some rows and tokens, `(members,)`. Equal head rows score the same to the last bit.

    Args:
        of_rows: ascending.
    """
    if weight.dtype is torch.float32:
        return _sparse_products(rows, weight, of_rows, tokens)
    return _gathered_products(rows, weight, of_rows, tokens)


with warnings.catch_warnings():  # torch says once in a process that such tensors are young
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
    torch.zeros(1, 1).to_sparse_csr()


def _sparse_products(rows: Tensor, weight: Tensor, of_rows: Tensor, tokens: Tensor) -> Tensor:
    """Compute the products at the places of a sparse matrix: copies nothing, but needs both sides in fp32."""
    ends = torch.bincount(of_rows, minlength=len(rows)).cumsum(0)
    places = torch.sparse_csr_tensor(
        torch.cat([ends.new_zeros(1), ends]),
        tokens,
        rows.new_zeros(len(tokens)),
        size=(len(rows), len(weight)),
        check_invariants=False,  # torch wants each row's tokens ascending, which makes no difference here
    )
    products: Tensor = torch.sparse.sampled_addmm(places, rows, weight.T, beta=0.0).values()
    return products


def _gathered_products(rows: Tensor, weight: Tensor, of_rows: Tensor, tokens: Tensor) -> Tensor:
    """Copy each member's two vectors, multiply and sum them; reads half the memory where the head is bf16."""
    scores, width = rows.new_empty(len(tokens)), rows.shape[1]
    size = max(1, AT_ONCE // width)
    stored, right = weight.new_empty(size, width), rows.new_empty(size, width)
    for start in range(0, len(tokens), size):
        stop = min(start + size, len(tokens))
        head_rows = torch.index_select(weight, 0, tokens[start:stop], out=stored[: stop - start])
        factors = torch.index_select(rows, 0, of_rows[start:stop], out=right[: stop - start])
        torch.sum(factors.mul_(head_rows), 1, out=scores[start:stop])  # a product of bf16 and fp32 is fp32
    return scores


def _select_best(tokens: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Select the `k` tokens with the highest scores in each row, with their scores; ties to the lower token."""
    highest = scores.topk(k, sorted=False)
    last = highest.values.amin(1, keepdim=True)
    if (
        (scores >= last).sum(1) > k
    ).any():  # a token that is not selected has the same score as the last selected one: sort all
        return _in_order(tokens, scores, k)
    return _in_order(tokens.gather(1, highest.indices), highest.values, k)


def _in_order(tokens: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    tokens, order = tokens.sort(dim=1)
    scores, by_score = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return tokens.gather(1, by_score[:, :k]), scores[:, :k]
