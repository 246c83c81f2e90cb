"""Hooks do what the equation of the MLP says, in the last row only, and leave nothing behind."""

from collections.abc import Sequence

import pytest
import torch

from neuronym.contract import Clamp, Mode, Site
from tests.checkpoints import LAYERS, NEURONS
from tests.worker.references import predict
from worker.errors import RequestError
from worker.steering.clamp import Edits, prepare
from worker.steering.models import LiveModel

TOKENS = [5, 90, 17, 200, 61, 8]


@torch.inference_mode()
def hooked(live: LiveModel, clamps: Sequence[Clamp], rows: int, since: int = 0, input_rows: int = 1) -> torch.Tensor:
    """Logits, `(rows, positions, vocab)`, of a batch that goes in with `input_rows` rows."""
    with prepare(clamps, live.sites).hooked(rows, since):
        logits: torch.Tensor = live.model(torch.tensor([TOKENS] * input_rows)).logits.float()
    return logits


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal but for the order of fp32 sums."""
    return torch.allclose(first, second, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("site", Site)
def test_every_site_and_mode_is_what_the_equation_says(live: LiveModel, site: Site, mode: Mode) -> None:
    if site is Site.gate and not live.sites.family.gated:
        pytest.skip("no gate")
    clamps = [Clamp(layer=layer, index=7 + layer, site=site, mode=mode, value=9.0) for layer in (1, 2)]

    logits = hooked(live, clamps, rows=2)

    plain = predict(live, TOKENS)
    assert close(logits[0], plain)
    assert close(logits[1], predict(live, TOKENS, clamps))
    assert not close(logits[1], plain)


def test_a_layer_can_be_clamped_at_all_its_sites(llama: LiveModel) -> None:
    clamps = [Clamp(layer=0, index=3, site=site, mode=Mode.add, value=4.0) for site in Site]
    assert close(hooked(llama, clamps, rows=2)[1], predict(llama, TOKENS, clamps))


def test_clamps_on_one_neuron_apply_in_the_order_given(llama: LiveModel) -> None:
    first = Clamp(layer=1, index=2, mode=Mode.add, value=3.0)
    then = Clamp(layer=1, index=2, mode=Mode.scale, value=-2.0)
    last = Clamp(layer=1, index=2, mode=Mode.set, value=6.0)
    for clamps in ([first, then], [then, first], [first, then, last], [last, then]):
        assert close(hooked(llama, clamps, rows=2)[1], predict(llama, TOKENS, clamps))
    assert not close(hooked(llama, [first, then], rows=2)[1], hooked(llama, [then, first], rows=2)[1])


def test_the_neurons_value_is_what_was_set(llama: LiveModel) -> None:
    seen: list[torch.Tensor] = []
    module = llama.sites.module(2, Site.act)
    with prepare([Clamp(layer=2, index=5, site=Site.act, value=20)], llama.sites).hooked(2):
        handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        llama.model(torch.tensor([TOKENS]))
        handle.remove()
    assert (seen[0][1, :, 5] == 20).all()
    assert (seen[0][0, :, 5] != 20).all()


@pytest.mark.parametrize("input_rows", [1, 2])
def test_one_row_going_in_is_as_two(live: LiveModel, input_rows: int) -> None:
    clamps = [Clamp(layer=LAYERS - 1, index=0, site=Site.act, value=30)]
    logits = hooked(live, clamps, rows=2, input_rows=input_rows)
    assert close(logits[0], predict(live, TOKENS))
    assert close(logits[1], predict(live, TOKENS, clamps))


def test_one_row_alone_is_the_clamped_one(live: LiveModel) -> None:
    clamps = [Clamp(layer=1, index=0, value=30)]
    assert close(hooked(live, clamps, rows=1)[0], predict(live, TOKENS, clamps))


def test_positions_before_since_are_left_alone(llama: LiveModel) -> None:
    clamps = [Clamp(layer=1, index=0, site=Site.act, value=30)]
    logits = hooked(llama, clamps, rows=2, since=4)
    assert close(logits[1, :4], predict(llama, TOKENS)[:4])
    assert close(logits[1], predict(llama, TOKENS, clamps, slice(4, None)))


def test_hooks_are_gone_however_the_block_is_left(llama: LiveModel) -> None:
    edits = prepare([Clamp(layer=0, index=0, value=1), Clamp(layer=3, index=0, site=Site.act, value=1)], llama.sites)
    with pytest.raises(ZeroDivisionError), edits.hooked(2):
        assert hook_count(llama) == 2
        raise ZeroDivisionError
    assert hook_count(llama) == 0


def test_no_clamps_hook_nothing(llama: LiveModel) -> None:
    with prepare([], llama.sites).hooked(2), Edits().hooked(2):
        assert hook_count(llama) == 0


def hook_count(live: LiveModel) -> int:
    """Hooks on any module."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in live.model.modules())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (Clamp(layer=LAYERS, index=0, value=1), f"clamps.1.layer: {LAYERS} is not in 0 to {LAYERS - 1}."),
        (Clamp(layer=0, index=NEURONS, value=1), f"clamps.1.index: {NEURONS} is not in 0 to {NEURONS - 1}."),
    ],
)
def test_a_place_that_is_not_there_is_refused_with_the_range(live: LiveModel, wrong: Clamp, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        prepare([Clamp(layer=0, index=0, value=1), wrong], live.sites)


def test_a_gate_that_is_not_there_is_refused(gpt2: LiveModel) -> None:
    with pytest.raises(RequestError, match=r"clamps\.0\.site: .* no gate; use `up` or `act`"):
        prepare([Clamp(layer=0, index=0, site=Site.gate, value=1)], gpt2.sites)
