"""The lens against plain torch: equal ids and scores, exact statistics, ties to the lower id."""

import pytest
import torch
from torch import Tensor

from neuronym.contract import Lens
from worker.lens.exact import BUCKET, TILE, Head, decode, robust_z

TOP, BOTTOM = 20, 10


def plain(rows: Tensor, weight: Tensor, lens: Lens) -> Tensor:
    """The full fp32 product, as a script would compute it."""
    if lens is Lens.logit:
        return rows @ weight.T
    return torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(weight, dim=1).T


def draw(rows: int, vocab: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(vocab, width, generator=generator) * torch.rand(vocab, 1, generator=generator)
    return torch.randn(rows, width, generator=generator) + 0.3, weight + 0.2


def same_ids(ids: Tensor, expected: Tensor, scores: Tensor) -> bool:
    """Equal wherever neighbouring scores differ by more than 1e-6 relative."""
    gaps = (scores[:, :-1] - scores[:, 1:]).abs() > 1e-6 * scores[:, :-1].abs()
    clear = torch.ones_like(ids, dtype=torch.bool)
    clear[:, 1:] &= gaps
    clear[:, :-1] &= gaps
    return bool((ids == expected)[clear].all()) and bool(clear.float().mean() > 0.9)


@pytest.mark.parametrize("lens", Lens)
@pytest.mark.parametrize("vocab", [TOP + 3, BUCKET * 5, TILE + 1, 3 * TILE + 77])
def test_equals_topk_of_the_full_product(lens: Lens, vocab: int) -> None:
    rows, weight = draw(64, vocab, 48)
    scores = plain(rows, weight, lens)
    decoded = decode(rows, Head(weight, torch.arange(vocab)), TOP, BOTTOM)[lens]
    top, bottom = scores.topk(TOP), scores.topk(BOTTOM, largest=False)
    assert same_ids(decoded.top.ids, top.indices, top.values)
    assert same_ids(decoded.bottom.ids, bottom.indices, bottom.values)
    torch.testing.assert_close(decoded.top.scores, top.values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(decoded.bottom.scores, bottom.values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lens", Lens)
def test_statistics_are_those_of_the_whole_vocabulary(lens: Lens) -> None:
    rows, weight = draw(32, 2 * TILE + 5, 48)
    scores = plain(rows, weight, lens).double()
    decoded = decode(rows, Head(weight, torch.arange(len(weight))))[lens]
    away = scores - scores.mean(1, keepdim=True)
    std = scores.std(1, unbiased=False)
    torch.testing.assert_close(decoded.mean.double(), scores.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(decoded.std.double(), std, rtol=1e-5, atol=0)
    torch.testing.assert_close(decoded.z.double(), away.max(1).values / std, rtol=1e-4, atol=0)
    if lens is Lens.logit:
        assert decoded.skew is None and decoded.kurtosis is None
        return
    assert decoded.skew is not None and decoded.kurtosis is not None
    torch.testing.assert_close(decoded.skew.double(), away.pow(3).mean(1) / std**3, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoded.kurtosis.double(), away.pow(4).mean(1) / std**4 - 3, rtol=1e-4, atol=1e-4)


def test_log_sum_exp_survives_large_scores() -> None:
    rows, weight = draw(8, TILE + 9, 16)
    rows = rows * 200  # scores in the hundreds: exp alone would overflow
    decoded = decode(rows, Head(weight, torch.arange(len(weight))))
    expected = plain(rows, weight, Lens.logit).logsumexp(1)
    assert expected.max() > 100
    assert decoded[Lens.cosine].logsumexp is None
    logsumexp = decoded[Lens.logit].logsumexp
    assert logsumexp is not None
    torch.testing.assert_close(logsumexp, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("lens", Lens)
def test_ties_go_to_the_lower_id_even_at_the_last_place(lens: Lens) -> None:
    rows, weight = draw(16, 2 * TILE, 32)
    full = plain(rows, weight, lens)
    last = full.topk(TOP).indices[:, -1]  # (rows,)
    tied = 0
    for row in range(16):
        doubled = weight.clone()
        place = int(last[row])
        twin = (place + TILE) % (2 * TILE)  # in another tile, and in another bucket
        doubled[twin] = doubled[place]
        decoded = decode(rows[row : row + 1], Head(doubled, torch.arange(2 * TILE)), TOP)[lens]
        ids = decoded.top.ids[0].tolist()
        scores = decoded.top.scores[0]
        expected = plain(rows[row : row + 1], doubled, lens)[0]
        if expected[place] == expected[twin]:  # equal to the last bit, as the law of ties asks
            assert min(place, twin) in ids
            tied += 1
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert tied


def test_many_equal_scores_are_listed_in_order_of_id() -> None:
    weight = torch.ones(500, 8)
    decoded = decode(torch.ones(2, 8), Head(weight, torch.arange(500)))[Lens.logit]
    assert decoded.top.ids.tolist() == [list(range(TOP))] * 2
    assert decoded.bottom.ids.tolist() == [list(range(BOTTOM))] * 2
    assert decoded.z.tolist() == [0, 0]


def test_a_zero_row_has_scores_of_zero_and_no_spread() -> None:
    _, weight = draw(1, 300, 8)
    decoded = decode(torch.zeros(1, 8), Head(weight, torch.arange(300)))
    for lens in Lens:
        assert decoded[lens].top.scores.eq(0).all()
        assert decoded[lens].z.item() == 0
    skew, kurtosis = decoded[Lens.cosine].skew, decoded[Lens.cosine].kurtosis
    assert skew is not None and kurtosis is not None and skew.item() == kurtosis.item() == 0


def test_only_what_is_asked_for_is_decoded() -> None:
    rows, weight = draw(600, 400, 16)  # more rows than are decoded at a time
    whole = Head(weight, torch.arange(400))
    both = decode(rows, whole, 5, 3)
    for lens in Lens:
        alone = decode(rows, whole, 5, 0, (lens,))
        assert list(alone) == [lens]
        assert torch.equal(alone[lens].top.ids, both[lens].top.ids)
        assert torch.equal(alone[lens].std, both[lens].std)
        assert alone[lens].bottom.ids.shape == alone[lens].bottom.scores.shape == (600, 0)


@pytest.mark.parametrize("loud", [1.0, 1e3, 1e-6])
def test_log_sum_exp_of_loud_and_quiet_rows(loud: float) -> None:
    rows, weight = draw(40, 2 * TILE + 5, 48)
    rows[::2] *= loud
    ours = decode(rows, Head(weight, torch.arange(len(weight))))[Lens.logit].logsumexp
    assert ours is not None
    expected = torch.logsumexp(rows.double() @ weight.double().T, 1)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-5)


def test_figures_that_need_every_score_can_be_left_out() -> None:
    rows, weight = draw(40, 400, 16)
    whole = Head(weight, torch.arange(400))
    with_, without = decode(rows, whole), decode(rows, whole, figures=False)
    for lens in Lens:
        assert without[lens].skew is without[lens].kurtosis is without[lens].logsumexp is None
        assert torch.equal(without[lens].top.ids, with_[lens].top.ids)
        assert torch.equal(without[lens].z, with_[lens].z)


def test_moments_are_those_of_the_rows_in_fp64() -> None:
    _, weight = draw(1, 4500, 600)  # more rows and columns than are summed at a time
    weight[:, 3] += 50  # a mean far larger than the spread
    moments = Head(weight, torch.arange(4500)).moments(Lens.logit)
    wide = weight.double()
    torch.testing.assert_close(moments.mean, wide.mean(0), rtol=1e-12, atol=0)
    away = wide - wide.mean(0)
    torch.testing.assert_close(moments.covariance.double(), away.T @ away / 4500, rtol=1e-4, atol=1e-5)


def test_rows_of_the_head_beyond_the_tokenizer_are_never_labels() -> None:
    rows, weight = draw(4, 400, 16)
    weight[350:] *= 100
    ids = torch.tensor([token for token in range(350) if token != 7])
    decoded = decode(rows, Head(weight, ids))
    for lens in Lens:
        assert decoded[lens].top.ids.max() < 350
        assert not decoded[lens].top.ids.eq(7).any()
    assert torch.equal(decoded[Lens.logit].top.ids, ids[(rows @ weight[ids].T).topk(TOP).indices])


def test_robust_z_counts_median_deviations() -> None:
    z = robust_z(torch.tensor([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert z[2] == 0
    assert z[4].item() == pytest.approx(97 / 1.4826)
    assert robust_z(torch.ones(5)).eq(0).all()
