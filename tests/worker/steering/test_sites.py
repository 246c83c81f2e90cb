"""Views and sites on a live model: a view's own site is where its weight vectors are at work."""

import pytest
import torch

from neuronym.contract import Clamp, Site, View
from neuronym.sites import NATURAL_SITE, OWN_SITE, VIEW_OF_SITE
from tests.checkpoints import make_checkpoint
from worker.checkpoints.checkpoint import open_checkpoint
from worker.measuring.effect import SITES
from worker.steering.clamp import prepare
from worker.steering.models import load

LAYER, INDEX = 1, 5


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_module_of_a_views_own_site_holds_its_weight_vectors(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    checkpoint = open_checkpoint(str(make_checkpoint(tmp_path_factory.mktemp(family), family)))
    sites = load(family, checkpoint, torch.device("cpu")).sites
    for view in checkpoint.views:
        weight = sites.module(LAYER, OWN_SITE[view]).get_parameter("weight").detach()
        rows = checkpoint.rows(view, LAYER)  # (neurons, width)
        assert any(torch.equal(rows, matrix) for matrix in (weight, weight.T)), view
        assert VIEW_OF_SITE[OWN_SITE[view]] is view


def test_only_at_its_natural_site_a_gate_writes_one_way(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Clamped at `gate` a neuron writes with the sign that `up` happens to have; at `act` with that of the clamp."""
    live = load("llama", open_checkpoint(str(make_checkpoint(tmp_path_factory.mktemp("llama")))), torch.device("cpu"))
    written: list[torch.Tensor] = []
    live.sites.module(LAYER, Site.act).register_forward_hook(
        lambda _, inputs, __: written.append(inputs[0][0, :, INDEX].detach())
    )
    for site in (OWN_SITE[View.gate], NATURAL_SITE[View.gate]):
        with (
            prepare([Clamp(layer=LAYER, index=INDEX, site=site, value=20)], live.sites).hooked(1),
            torch.inference_mode(),
        ):
            live.model(torch.arange(64)[None])
    at_own, at_natural = written
    assert (at_own > 0).any() and (at_own < 0).any()
    assert (at_natural > 0).all()


def test_effects_are_measured_at_the_natural_sites_in_the_order_of_shards_that_are_there() -> None:
    assert list(SITES) == [Site.act, Site.up]
    assert set(SITES) == set(NATURAL_SITE.values())
