"""Screening on the demo model's own rows and head: what the fp32 product gives, in every view and under both lenses."""

import pytest
import torch

from neuronym.contract import Lens, View
from tests.worker.comparison import same
from worker.checkpoints.checkpoint import Checkpoint
from worker.lens.decoder import Decoder
from worker.lens.exact import Head, decode
from worker.lens.rounding import Bound
from worker.lens.screen import Screen

pytestmark = pytest.mark.real

ROWS = 300  # of a layer: more than a block
CANCELLING = 3e-6  # what fp32 loses where a row's largest score is a fiftieth of the lengths that are multiplied


@pytest.fixture(scope="module")
def head(demo_checkpoint: Checkpoint) -> Head:
    """The demo model's, whose duplicate rows tie."""
    weight = demo_checkpoint.head()
    return Head(weight, torch.arange(len(weight)))


@pytest.fixture(scope="module")
def screens(head: Head) -> dict[Bound, Screen]:
    """One of each kind."""
    return {bound: Screen(head, bound) for bound in Bound}


@pytest.mark.parametrize("bound", Bound)
@pytest.mark.parametrize(("view", "layer"), [(View.up, 0), (View.up, 22), (View.gate, 15), (View.down, 29)])
def test_labels_are_those_of_the_full_product(
    demo_checkpoint: Checkpoint, head: Head, screens: dict[Bound, Screen], view: View, layer: int, bound: Bound
) -> None:
    rows = demo_checkpoint.rows(view, layer)[:ROWS]
    screened, effort = screens[bound].decode(rows)
    exact = decode(rows, head, 21, 11)
    for lens in Lens:
        assert same(screened[lens], exact[lens], CANCELLING), lens
        torch.testing.assert_close(screened[lens].mean, exact[lens].mean)
        torch.testing.assert_close(screened[lens].std, exact[lens].std)
        torch.testing.assert_close(screened[lens].z, exact[lens].z, rtol=1e-5, atol=1e-5)
    assert effort.left_to_fp32 < 0.02 * ROWS
    assert effort.rescored / (4 * ROWS) < head.vocab / 200  # tokens a search


@pytest.mark.parametrize("bound", Bound)
def test_statistics_are_right_to_the_digits_that_are_shown(
    demo_checkpoint: Checkpoint, head: Head, screens: dict[Bound, Screen], bound: Bound
) -> None:
    rows = demo_checkpoint.rows(View.down, 29)[:ROWS]
    ours, theirs = screens[bound].decode(rows)[0], decode(rows, head)
    kurtosis = theirs[Lens.cosine].kurtosis
    assert kurtosis is not None
    for lens, name, most in (
        (Lens.cosine, "skew", 0.02),
        (Lens.cosine, "kurtosis", 0.05),
        (Lens.logit, "logsumexp", 0.005),
    ):
        one, other = (vars(decoded[lens])[name] for decoded in (ours, theirs))  # (rows,) each
        off = (one - other).abs()
        assert off.max() < most * (1 + other.abs().max()), name
        assert off.median() < most / 4, name


def test_a_decoder_finds_its_way_and_checks_itself(demo_checkpoint: Checkpoint, head: Head) -> None:
    rows = demo_checkpoint.rows(View.up, 15)[:ROWS]
    decoder = Decoder(head, "auto", rows[:64])
    decoded, outcome = decoder.decode(rows, 20, 10)
    assert decoder.precision in ("fp32", "certified")  # the worst case is tight enough for a model this narrow
    assert outcome.differed == 0
    exact = decode(rows, head, 21, 11)
    assert all(same(decoded[lens], exact[lens], CANCELLING) for lens in Lens)
