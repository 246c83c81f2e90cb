"""Screening gives what the fp32 product gives, on ordinary and on adversarial rows; its certificate is honest."""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from app.contract import Lens
from app.settings import Settings
from worker import decoder as decoder_module
from worker.decoder import Decoder
from worker.lens import Decoded, Head, decode
from worker.mapping import Progress, Recipe
from worker.run import MapRun
from worker.screen import Bound, Screen, rotation, round_to_int8

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


def same(one: Decoded, other: Decoded) -> bool:
    """Equal ids wherever fp32 can tell neighbouring scores apart, and equal scores."""
    for ours, theirs in ((one.top, other.top), (one.bottom, other.bottom)):
        size = theirs.scores.abs().amax(1, keepdim=True)
        if not ((ours.scores - theirs.scores).abs() <= 2e-6 * size).all():
            return False
        gap = (theirs.scores[:, :-1] - theirs.scores[:, 1:]).abs() > 4e-6 * size
        clear = torch.zeros_like(ours.ids, dtype=torch.bool)
        clear[:, 1:-1] = gap[:, 1:] & gap[:, :-1]
        clear[:, 0] = gap[:, 0]
        if not (ours.ids == theirs.ids)[clear].all():
            return False
    return True


@pytest.mark.parametrize("bound", Bound)
def test_equals_the_fp32_path_on_adversarial_rows(bound: Bound) -> None:
    whole = head()
    rows = adversarial(whole.weight)
    screened, _ = Screen(whole, bound).decode(rows)
    exact = decode(rows, whole)
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
    for lens in Lens:
        assert (screened[lens].skew - exact[lens].skew).abs().max() < 0.02
        fourth = exact[lens].kurtosis + 3
        assert ((screened[lens].kurtosis - exact[lens].kurtosis).abs() / fourth).max() < 0.01
    ours, theirs = screened[Lens.logit].logsumexp, exact[Lens.logit].logsumexp
    assert ours is not None and theirs is not None
    torch.testing.assert_close(ours, theirs, rtol=5e-3, atol=2e-2)


def test_most_rows_need_no_fp32() -> None:
    rows = torch.randn(300, WIDTH, generator=torch.Generator().manual_seed(3))
    _, left = Screen(head(), Bound.verified).decode(rows)
    assert left < 30


@pytest.mark.parametrize("bound", Bound)
def test_no_screened_score_is_off_by_more_than_its_bound(bound: Bound) -> None:
    whole = head()
    screen = Screen(whole, bound)
    rows = torch.cat([adversarial(whole.weight), torch.randn(100, WIDTH)])
    rows = rows[rows.abs().amax(1) > 0]
    rounded = screen._round(rows, seed=0)
    products = rounded.codes.double() @ screen._codes.double().T
    shift = rows.double() @ screen._mean.double()
    screened = products * rounded.step[:, None] * screen._steps[Lens.logit] + shift[:, None]
    off = (screened - rows.double() @ whole.weight.double().T).abs()  # (rows, vocab)
    rounded_length = torch.linalg.vector_norm(rounded.codes.float(), dim=1) * rounded.step
    allowed = (
        rounded.error[:, None] * screen._lengths[Lens.logit]
        + rounded_length[:, None] * screen._errors[Lens.logit]
        + 2e-6 * rounded.length[:, None] * (screen._lengths[Lens.logit] + whole.weight.norm(dim=1))
    )
    assert (off <= allowed).all()
    assert off.max() > 0  # rounding does happen


def test_random_rounding_is_right_on_average() -> None:
    vector = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(4))
    draws = [round_to_int8(vector, Bound.verified, 1.0, seed) for seed in range(400)]
    mean = torch.stack([draw.codes.float() * draw.step for draw in draws]).mean(0)
    step = draws[0].step.item()
    assert (mean - vector).abs().max() < 5 * step / (400**0.5)
    assert (round_to_int8(vector, Bound.certified, 1.0).codes.float() * step - vector).abs().max() <= step / 2 + 1e-6


@pytest.mark.parametrize("width", [576, 4096, 37, 2 * 1031])
def test_rotation_changes_no_length(width: int) -> None:
    matrix = rotation(width)
    assert width % len(matrix) == 0 and len(matrix) <= 1024
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-4, rtol=0)


def test_a_small_vocabulary() -> None:
    weight = torch.randn(40, 16, generator=torch.Generator().manual_seed(5))
    small, rows = Head(weight, torch.arange(40)), torch.randn(30, 16, generator=torch.Generator().manual_seed(6))
    screened, _ = Screen(small).decode(rows, 5, 3)
    exact = decode(rows, small, 5, 3)
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


def test_a_batch_that_differs_is_decoded_anew() -> None:
    whole, rows = head(), torch.randn(50, WIDTH, generator=torch.Generator().manual_seed(8))
    decoder = Decoder(whole, "certified", rows)
    _, outcome = decoder.decode(rows, 20, 10)
    assert (outcome.checked, outcome.differed) == (4, 0)
    assert decoder._screen is not None
    decoder._screen._steps = {lens: step.roll(1) for lens, step in decoder._screen._steps.items()}
    decoder._screen._errors = {lens: torch.zeros_like(error) for lens, error in decoder._screen._errors.items()}
    decoder._screen._lengths = {lens: torch.zeros_like(length) for lens, length in decoder._screen._lengths.items()}
    decoder._screen._bucket_bounds = {lens: decoder._screen._bounds_by_bucket(lens) for lens in Lens}
    decoded, outcome = decoder.decode(rows, 20, 10)  # a broken screen is found out by the rows decoded both ways
    assert outcome.differed > 0 and outcome.left_to_fp32 == len(rows)
    assert all(same(decoded[lens], decode(rows, whole)[lens]) for lens in Lens)


def test_what_was_done_is_recorded(tiny_llama: Path, tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    def look(progress: Progress) -> None:
        if progress.layers_done == progress.layers:
            (shard, *_) = (tmp_path / ".mapping").rglob("label-0000.parquet")
            seen["metadata"] = pq.read_schema(shard).metadata

    MapRun(Settings(data=tmp_path), Recipe(precision="certified"), report=look).map([str(tiny_llama)], ["tiny"])
    assert b"account" in seen["metadata"]  # type: ignore[operator]
    with duckdb.connect(str((tmp_path / "current").resolve()), read_only=True) as connection:
        row = connection.execute(
            "SELECT settings->>'precision', settings->>'rows', settings->>'checked', settings->>'differed' FROM model"
        ).fetchone()
    assert row == ("certified", "576", "48", "0")
