"""Screening gives what the fp32 product gives, on ordinary and on adversarial rows; its certificate is honest."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from neuronym.contract import Lens
from neuronym.settings import Settings
from tests.reading import rows
from tests.worker.comparison import same
from worker.lens import decoder as decoder_module
from worker.lens.decoder import Decoder, Precision
from worker.lens.exact import Head, decode
from worker.lens.products import Int8Product
from worker.lens.rotation import Rotation
from worker.lens.rounding import BUCKET, Bound, random_numbers, round_to_int8
from worker.lens.screen import Screen
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe, Progress

WIDTH, VOCAB = 64, 5000 + 7  # not a multiple of a tile or a bucket


def head(seed: int = 0) -> Head:
    """Rows of many lengths around a common mean, a few channels that stand out, and duplicates."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(VOCAB, WIDTH, generator=generator) * (0.2 + torch.rand(VOCAB, 1, generator=generator))
    weight += 0.5 * torch.randn(WIDTH, generator=generator)
    weight[:, 3] *= 8
    weight[1000:1040] = weight[2000:2040]
    return Head(weight, torch.arange(VOCAB))


def adversarial(weight: Tensor) -> Tensor:
    """Rows that are hard to screen."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(48, WIDTH, generator=generator)
    rows[0] = 0
    rows[1] = 0
    rows[1, 5] = 1e4  # a single outlier
    rows[2] *= 1e-12
    rows[3] *= 1e8
    rows[4] = weight[17]  # the label is one token, far ahead
    rows[5] = weight[1001]  # two duplicate tokens are its best
    rows[6] = rows[7]
    rows[8, 0] = 300  # an outlier beside ordinary values
    rows[9] = weight.mean(0)
    rows[10] = -weight[17]
    return rows


def errors(screen: Screen, rows: Tensor) -> tuple[Tensor, Tensor]:
    """How far each screened score is off, `(rows, buckets, BUCKET)`, and may be, `(rows, buckets)`; unit head rows."""
    screened = Int8Product(screen._rounded, len(rows)).run(rows, (1,), ())
    of_rows, buckets = torch.ones(len(rows), len(screened.head.tokens)).nonzero(as_tuple=True)
    scores = screened.token_scores(1, of_rows, buckets).view(len(rows), -1, BUCKET)
    units = screen.head.weight.double() * screen.head.scale[:, None]
    exact = (rows.double() @ units.T)[:, screened.head.tokens]  # (rows, buckets, BUCKET)
    torch.testing.assert_close(screened.bucket_scores(1), scores.amax(2))
    return (scores - exact).abs(), screened.bound


@pytest.mark.parametrize("bound", Bound)
def test_equals_the_fp32_path_on_adversarial_rows(bound: Bound) -> None:
    whole = head()
    rows = adversarial(whole.weight)
    screened, _ = Screen(whole, bound).decode(rows)
    exact = decode(rows, whole, 21, 11)
    for lens in Lens:
        assert same(screened[lens], exact[lens]), lens
        torch.testing.assert_close(screened[lens].mean, exact[lens].mean)
        torch.testing.assert_close(screened[lens].std, exact[lens].std)
        torch.testing.assert_close(screened[lens].z, exact[lens].z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bound", Bound)
def test_statistics_from_screened_scores_are_close(bound: Bound) -> None:
    whole = head()
    rows = torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(2))
    screened, _ = Screen(whole, bound).decode(rows)
    exact = decode(rows, whole)
    ours, theirs = screened[Lens.cosine], exact[Lens.cosine]
    assert ours.skew is not None and theirs.skew is not None
    assert ours.kurtosis is not None and theirs.kurtosis is not None
    # Rounding tilts a row a little towards some directions of the head: in this narrow one, with a channel that stands
    # out eightfold, by up to 0.02 of the deviation, and by twice that at random; the cube makes it a little more.
    assert (ours.skew - theirs.skew).abs().max() < (0.03 if bound is Bound.certified else 0.06)
    assert ((ours.kurtosis - theirs.kurtosis).abs() / (theirs.kurtosis + 3)).max() < 0.02
    assert screened[Lens.logit].skew is None and screened[Lens.logit].kurtosis is None


@pytest.mark.parametrize("bound", Bound)
def test_log_sum_exp_is_off_by_no_more_than_a_score(bound: Bound) -> None:
    """It follows the highest scores, and moves no further than the one of them that moves most."""
    whole = head()
    rows = torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(2))
    screen = Screen(whole, bound)
    ours, theirs = screen.decode(rows)[0][Lens.logit].logsumexp, decode(rows, whole)[Lens.logit].logsumexp
    assert ours is not None and theirs is not None
    off, _ = errors(screen, rows)
    logits_off = (off * screen._rounded.norms).flatten(1).amax(1)  # (rows,)
    assert ((ours - theirs).abs() <= logits_off + 1e-4).all()
    assert (ours - theirs).abs().median() < 0.5 * logits_off.median()  # and mostly far less


def test_most_rows_need_no_fp32() -> None:
    rows = torch.randn(300, WIDTH, generator=torch.Generator().manual_seed(3))
    _, effort = Screen(head(), Bound.verified).decode(rows)
    assert effort.left_to_fp32 < 30
    assert effort.rescored < 300 * 2 * VOCAB / 12  # of two searches a row


@pytest.mark.parametrize("bound", Bound)
def test_no_screened_score_is_off_by_more_than_its_bound(bound: Bound) -> None:
    whole = head()
    rows = torch.cat([adversarial(whole.weight), torch.randn(100, WIDTH)])
    off, allowed = errors(Screen(whole, bound), rows)
    assert (off <= allowed[:, :, None]).all()
    assert off.max() > 0  # rounding does happen


def test_random_rounding_is_right_on_average() -> None:
    vector = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(4))
    draws = [round_to_int8(vector, random_numbers(WIDTH, seed=seed), 1.0) for seed in range(400)]
    mean = torch.stack([draw.codes.float() * draw.step for draw in draws]).mean(0)
    step = draws[0].step.item()
    assert (mean - vector).abs().max() < 5 * step / (400**0.5)
    assert (round_to_int8(vector.clone(), None, 1.0).codes.float() * step - vector).abs().max() <= step / 2 + 1e-6


@pytest.mark.parametrize("bound", Bound)
def test_a_row_is_decoded_the_same_in_any_company(bound: Bound) -> None:
    whole = head()
    rows, screen = adversarial(whole.weight), Screen(whole, bound)
    together = screen.decode(rows)[0]
    alone = [screen.decode(rows[place : place + 1])[0] for place in range(4, 12)]
    for lens in Lens:
        for place, row in enumerate(alone, 4):
            assert torch.equal(row[lens].top.ids[0], together[lens].top.ids[place])
            assert torch.equal(row[lens].bottom.ids[0], together[lens].bottom.ids[place])
    for name in ("skew", "kurtosis"):
        ours = torch.cat([getattr(row[Lens.cosine], name) for row in alone])
        torch.testing.assert_close(ours, getattr(together[Lens.cosine], name)[4:12], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [576, 4096, 37, 2 * 1031])
def test_rotation_changes_no_product_and_spreads_a_channel(width: int) -> None:
    vectors = torch.randn(50, width, generator=torch.Generator().manual_seed(9))
    vectors[:, 5] *= 100
    before, turned = vectors.clone(), Rotation(width)(vectors)
    assert torch.equal(vectors, before)
    torch.testing.assert_close(turned @ turned.T, vectors @ vectors.T, rtol=1e-4, atol=1)
    spread = Rotation(width)(torch.eye(width)[:8])
    assert spread.abs().max() <= 2 / width**0.5 + 1e-6
    torch.testing.assert_close(spread @ spread.T, torch.eye(8), rtol=0, atol=1e-5)


def test_a_small_vocabulary() -> None:
    weight = torch.randn(40, 16, generator=torch.Generator().manual_seed(5))
    small, rows = Head(weight, torch.arange(40)), torch.randn(30, 16, generator=torch.Generator().manual_seed(6))
    screened, _ = Screen(small).decode(rows, 5, 3)
    exact = decode(rows, small, 6, 4)
    assert all(same(screened[lens], exact[lens]) for lens in Lens)


def test_the_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(7))
    monkeypatch.setattr(decoder_module, "FASTER", 1e9)
    assert Decoder(head(), "auto", sample).precision == "fp32"
    monkeypatch.setattr(decoder_module, "FASTER", 0)
    monkeypatch.setattr(decoder_module, "MANY", 1)
    assert Decoder(head(), "auto", sample).precision == "certified"
    monkeypatch.setattr(decoder_module, "MANY", -1)
    assert Decoder(head(), "auto", sample).precision == "verified"


@pytest.mark.parametrize("precision", ["fp32", "certified", "verified"])
def test_a_decoder_gives_what_is_asked_for(precision: Precision) -> None:
    whole, rows = head(), adversarial(head().weight)
    decoded, outcome = Decoder(whole, precision, rows, [Lens.cosine]).decode(rows, 7, 0)
    exact = decode(rows, whole, 8, 0, [Lens.cosine])
    assert list(decoded) == [Lens.cosine] and same(decoded[Lens.cosine], exact[Lens.cosine])
    assert decoded[Lens.cosine].top.ids.shape == (48, 7) and decoded[Lens.cosine].bottom.ids.shape == (48, 0)
    assert outcome.rows == 48 and outcome.differed == 0


@pytest.mark.parametrize("precision", ["fp32", "certified", "verified"])
def test_control_rows_get_their_ends_alone(precision: Precision) -> None:
    whole, rows = head(), adversarial(head().weight)
    ends = Decoder(whole, precision, rows).ends(rows)
    exact = decode(rows, whole, 3, 2)
    for lens in Lens:
        assert ends[lens].skew is ends[lens].kurtosis is ends[lens].logsumexp is None
        assert same(ends[lens], exact[lens])
        torch.testing.assert_close(ends[lens].z, exact[lens].z, rtol=1e-4, atol=1e-4)


def test_a_batch_that_differs_is_decoded_anew() -> None:
    whole, rows = head(), torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(8))
    decoder = Decoder(whole, "certified", rows)
    _, outcome = decoder.decode(rows, 20, 10)
    assert (outcome.checked, outcome.differed) == (4, 0)
    assert decoder._screen is not None
    decoder._screen._rounded.step[::2] *= 0.3  # tokens of every other bucket look worse than they are
    decoded, outcome = decoder.decode(rows, 20, 10)  # a broken screen is found out by the rows decoded both ways
    assert outcome.differed > 0 and outcome.left_to_fp32 == len(rows)
    assert all(same(decoded[lens], decode(rows, whole, 21, 11)[lens]) for lens in Lens)


def test_what_was_done_is_recorded(tiny_llama: Path, tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    def look(progress: Progress) -> None:
        if progress.layers_done == progress.layers:
            (shard, *_) = (tmp_path / ".mapping").rglob("label-up-0000.parquet")
            seen["metadata"] = pq.read_schema(shard).metadata

    MapRun(Settings(data=tmp_path), MapRecipe(precision="certified"), report=look).map([str(tiny_llama)], ["tiny"])
    assert b"account" in seen["metadata"]  # type: ignore[operator]
    statement = (
        "SELECT settings->>'precision', settings->>'rows', settings->>'checked', settings->>'differed' FROM model"
    )
    (row,) = rows(tmp_path, statement)
    assert row == ("certified", "576", "48", "0")
