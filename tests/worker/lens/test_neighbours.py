"""Neighbours found by screening are those of the fp32 product, twins and rows of zeros included."""

import pytest
import torch
from torch import Tensor

from worker.lens.neighbours import nearest
from worker.lens.rounding import Bound

WIDTH = 64
WAYS = [None, *Bound]


def layer(seed: int = 0) -> Tensor:
    """Rows that share a mean, of many lengths, with an outlier channel, a twin, a crowd of copies and zeros."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(700, WIDTH, generator=generator) * (0.1 + torch.rand(700, 1, generator=generator)) + 0.2
    rows[:, 7] *= 9
    rows[31] = rows[4] * 3
    rows[100:110] = rows[99]
    rows[200:203] = 0
    return rows


@pytest.mark.parametrize("bound", WAYS)
def test_equals_the_plain_product(bound: Bound | None) -> None:
    rows = layer()
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    cosines = (unit @ unit.T).fill_diagonal_(-torch.inf)
    expected = cosines.topk(6, dim=1)
    neighbours = nearest(rows, 5, bound)
    torch.testing.assert_close(neighbours.scores.double(), expected.values[:, :5], rtol=0, atol=2e-6)
    clear = (expected.values[:, :-1] - expected.values[:, 1:]) > 1e-5  # nothing nearly as near comes after
    clear[:, 1:] &= clear[:, :-1].clone()
    assert clear.float().mean() > 0.9
    assert (neighbours.ids == expected.indices[:, :5])[clear].all()
    chosen = cosines.gather(1, neighbours.ids)
    torch.testing.assert_close(chosen, neighbours.scores.double(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("bound", WAYS)
def test_no_row_is_its_own_neighbour_and_none_comes_twice(bound: Bound | None) -> None:
    neighbours = nearest(layer(), 5, bound)
    assert not (neighbours.ids == torch.arange(700)[:, None]).any()
    assert all(len(set(row)) == 5 for row in neighbours.ids.tolist())
    assert neighbours.ids[4, 0] == 31 and neighbours.ids[31, 0] == 4
    assert set(neighbours.ids[104].tolist()) < set(range(99, 110))


@pytest.mark.parametrize("bound", WAYS)
def test_a_layer_with_few_neurons(bound: Bound | None) -> None:
    rows = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1))
    assert sorted(nearest(rows, 5, bound).ids[0].tolist()) == [1, 2]
    assert nearest(rows[:1], 5, bound).ids.shape == (1, 0)
