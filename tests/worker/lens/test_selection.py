"""Scoring the few tokens that matter: the products, and the order of the best."""

import pytest
import torch

from worker.lens.selection import _exact_products, _select_best

WIDTH, VOCAB = 96, 300


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_of_chosen_places(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, weight = torch.randn(9, WIDTH, generator=generator), torch.randn(VOCAB, WIDTH, generator=generator).to(dtype)
    weight[7] = weight[251]
    of_rows = torch.tensor([0, 0, 0, 2, 2, 8])  # rows without any, and tokens in no order
    tokens = torch.tensor([251, 7, 3, 299, 0, 5])
    products = _exact_products(rows, weight, of_rows, tokens)
    torch.testing.assert_close(products, (rows @ weight.float().T)[of_rows, tokens], rtol=1e-5, atol=1e-5)
    assert products[0] == products[1]  # to the last bit: equal tokens are listed by their ids
    assert not len(_exact_products(rows, weight, of_rows[:0], tokens[:0]))


def test_ties_go_to_the_lower_token_inside_and_at_the_end() -> None:
    tokens = torch.tensor([[9, 4, 7, 2, 5], [9, 4, 7, 2, 5]])
    scores = torch.tensor([[1.0, 3.0, 3.0, 2.0, 2.0], [1.0, 3.0, 3.0, 2.0, 0.0]])
    best, ranked = _select_best(tokens, scores, 3)
    assert best.tolist() == [[4, 7, 2], [4, 7, 2]]
    assert ranked.tolist() == [[3, 3, 2], [3, 3, 2]]
    alone, _ = _select_best(tokens[1:], scores[1:], 3)  # no tie at the end: nothing outside the best is put in order
    assert alone.tolist() == [[4, 7, 2]]
