"""Recipes on weights where arithmetic says the answer."""

import pytest
import torch
from torch import Tensor, nn
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm

from neuronym.contract import Lens, Strength, View
from neuronym.sites import NATURAL_SITE
from worker.lens.exact import Head
from worker.trust.own_gain import GainTrial, gain_trials
from worker.trust.recipes import (
    OWN_GAIN,
    PLAIN,
    HeadRecipe,
    LensRecipe,
    norm_gain,
    prepare_head,
    prepare_rows,
    read_labels,
)
from worker.trust.report import RecipeResult, TrustReport


def test_the_gain_is_read_off_any_norm() -> None:
    weight = torch.linspace(0.5, 2, 8)
    rms, gemma, layer = nn.RMSNorm(8, eps=0), GemmaRMSNorm(8), nn.LayerNorm(8)
    with torch.no_grad():
        for norm in (rms, layer):
            norm.weight.copy_(weight)
        gemma.weight.copy_(weight - 1)
        layer.bias.fill_(3)
        assert torch.allclose(norm_gain(rms, 8), weight)
        assert torch.allclose(norm_gain(gemma, 8), weight, rtol=1e-4)
        gain = norm_gain(layer, 8)
    assert torch.allclose(gain / gain[0], weight / weight[0], rtol=1e-4)  # centring scales every direction alike


def test_recipes_do_to_the_head_what_they_say() -> None:
    generator = torch.Generator().manual_seed(0)
    head, gain = torch.randn(30, 6, generator=generator), torch.rand(6, generator=generator) + 0.5
    row = torch.randn(1, 6, generator=generator)

    def scores(recipe: HeadRecipe) -> Tensor:
        return (row @ prepare_head(head, gain, recipe).T)[0]

    plain = scores(HeadRecipe())
    assert torch.equal(plain, (row @ head.T)[0])
    assert torch.allclose(scores(HeadRecipe(gain=True)), (row @ (head * gain).T)[0])
    centred = scores(HeadRecipe(centred=True))
    assert torch.allclose(centred, plain - plain.mean(), atol=1e-5)  # a softmax does not notice
    assert torch.allclose(scores(HeadRecipe(unit=True)), plain / head.norm(dim=1))


@pytest.mark.parametrize("lens", Lens)
def test_the_own_gain_changes_which_token_a_row_names(lens: Lens) -> None:
    """Each token lies along an axis: a row names that of its largest entry, and the gain says which is largest."""
    tokens = 40
    head = Head(torch.eye(tokens), torch.arange(tokens))
    rows = torch.zeros(3, tokens)
    rows[0, 4], rows[0, 7], rows[0, 9] = 3.0, 2.0, -1.0
    rows[1, 5], rows[1, 6], rows[1, 8] = 1.0, -3.0, -2.0
    gain = torch.ones(tokens)
    gain[7], gain[9], gain[8] = 2.0, 0.5, 4.0

    def named(recipe: LensRecipe) -> list[list[int]]:
        return read_labels(prepare_rows(rows, gain, recipe), head, torch.tensor([0, 1]), seed=0).tokens.tolist()

    assert named(PLAIN[lens]) == [[4, 5], [9, 6]]  # highest: 3, 1; lowest: -1, -3
    assert named(OWN_GAIN[lens]) == [[7, 5], [9, 8]]  # highest: 2 * 2, 1; lowest: -1 * 0.5, -2 * 4
    assert OWN_GAIN[lens].views(list(View)) == [View.up, View.gate]
    assert PLAIN[lens].views(list(View)) == list(View)


def test_an_end_is_strong_where_it_stands_further_out_than_mixtures_of_its_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    head = nn.functional.normalize(torch.randn(400, 64, generator=generator), dim=1)
    rows = torch.randn(100, 64, generator=generator)
    rows[3], rows[8] = 5 * head[17], -5 * head[30]  # one end each of two neurons is a token itself
    labels = read_labels(rows, Head(head, torch.arange(400)), torch.tensor([3, 8, 50]), seed=1)
    assert labels.strong.tolist() == [[True, False, False], [False, True, False]]
    assert (int(labels.tokens[0, 0]), int(labels.tokens[1, 1])) == (17, 30)


def result(recipe: LensRecipe, view: View, labels: int, beyond: float, third: str | None = None) -> RecipeResult:
    """A result of strong labels at the view's own site."""
    return RecipeResult(
        recipe=recipe.name,
        view=view,
        site=NATURAL_SITE[view],
        third=third,
        strength=Strength.strong,
        labels=labels,
        rises=0.5,
        control_rises=0.5,
        beyond_control=beyond,
        mean=0,
        control_mean=0,
        rank=0,
    )


def trials(*results: RecipeResult) -> list[GainTrial]:
    return list(gain_trials(TrustReport(models=[], recipes=list(results), recipes_of="planted", sample=8)))


def test_a_difference_is_certain_beyond_three_standard_deviations() -> None:
    """900 and 1,600 labels: half the root of 1 / 900 + 1 / 1600 is 1 / 48."""
    bare = result(PLAIN[Lens.cosine], View.gate, 900, 0.5)
    for beyond, certain in ((0.56, False), (0.44, False), (0.57, True), (0.43, True)):
        (trial,) = trials(bare, result(OWN_GAIN[Lens.cosine], View.gate, 1600, beyond))
        assert trial.uncertainty == pytest.approx(1 / 48)
        assert trial.difference == pytest.approx(beyond - 0.5)
        assert trial.certain is certain


def test_only_like_is_compared_with_like() -> None:
    """Neither another lens, view or third, nor a recipe without strong labels has a comparison."""
    bare = result(PLAIN[Lens.cosine], View.gate, 900, 0.5)
    others = [
        result(OWN_GAIN[Lens.logit], View.gate, 900, 0.9),
        result(OWN_GAIN[Lens.cosine], View.up, 900, 0.9),
        result(OWN_GAIN[Lens.cosine], View.gate, 900, 0.9, third="last"),
    ]
    assert trials(bare, *others) == []
