"""Effects against slow references: every row a whole pass with hooks, every figure written out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from neuronym.contract import Clamp, Direction, Lens, Site, View
from neuronym.label_tables import LABELS, label_place
from tests.checkpoints import LAYERS, NEURONS
from worker.errors import CheckpointError
from worker.measuring.attention import NAME, Prefix, attend_by_row
from worker.measuring.effect import ABSENT, SITES, Effects, EffectSubject, Ranges, mismatched_labels
from worker.steering.clamp import prepare
from worker.steering.models import LiveModel

PROMPTS = [[5, 90, 17, 200, 61, 8], [7, 3, 9], [100, 101, 102, 103]]
TOKENS = 300  # of the head's 320 rows: the others belong to no token
Row = Mapping[str, Any]


def columns(live: LiveModel, layer: int) -> Tensor:
    """What each neuron writes, `(neurons, width)`."""
    weight = live.sites.module(layer, Site.act).get_parameter("weight")
    return weight if live.sites.family.transposed else weight.T


def effects(live: LiveModel, sites: Sequence[Site] = SITES, prompts: Sequence[Sequence[int]] = PROMPTS) -> Effects:
    return Effects(
        EffectSubject(live.model, live.sites, range(TOKENS), lambda layer: columns(live, layer)), prompts, sites
    )


def ranges(seed: int, scale: float = 60.0) -> Ranges:
    """Far ends, so that tiny random models feel them."""
    chance = torch.Generator().manual_seed(seed)
    return {site: {end: torch.randn(NEURONS, generator=chance) * scale for end in Direction} for site in SITES}


def labels(seed: int = 0) -> Tensor:
    """Random label tokens, `(LABELS, neurons)`."""
    return torch.randint(0, TOKENS, (LABELS, NEURONS), generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def changes(live: LiveModel, clamp: Clamp) -> tuple[Tensor, float]:
    """Mean change of the log-probabilities, `(vocab,)`, and mean KL, by whole passes with hooks."""
    shifts, kls = [], []
    for prompt in PROMPTS:
        with prepare([clamp], live.sites).hooked(rows=2, since=len(prompt) - 1):
            plain, clamped = live.model(torch.tensor([prompt])).logits[:, -1].double().log_softmax(-1)
        shifts.append(clamped - plain)
        kls.append(float((plain.exp() * (plain - clamped)).sum()))
    return torch.stack(shifts).mean(0), sum(kls) / len(kls)


def clamp_of(row: Row) -> Clamp:
    return Clamp(layer=row["layer"], index=row["neuron"], site=list(Site)[row["site"]], value=row["value"])


def agrees(live: LiveModel, row: Row, others: Tensor) -> None:
    """A row is what whole passes say of it. `others` are the layer's control tokens, `(LABELS, neurons)`."""
    shift, kl = changes(live, clamp_of(row))
    for place, token in enumerate(row["tokens"]):
        delta = shift[token]
        assert row["deltas"][place] == pytest.approx(float(delta), abs=1e-4)
        assert row["controls"][place] == pytest.approx(float(shift[others[place, row["neuron"]]]), abs=1e-4)
        above, near = (shift[:TOKENS] > delta + 1e-5).sum(), (shift[:TOKENS] > delta - 1e-5).sum()
        assert above <= row["ranks"][place] <= near
    assert row["kl"] == pytest.approx(kl, abs=1e-5)
    most = shift[:TOKENS].abs().max()
    assert abs(row["moved_delta"]) == pytest.approx(float(most), abs=1e-4)
    assert row["moved_delta"] == pytest.approx(float(shift[row["moved"]]), abs=1e-4)


@pytest.mark.parametrize("layer", [0, 1, LAYERS - 1])
def test_effects_are_those_of_whole_passes_with_hooks(live: LiveModel, layer: int) -> None:
    values, named = ranges(layer), labels()
    table = effects(live).measure_layer(layer, values, named)
    rows = table.to_pylist()
    assert len(rows) == len(SITES) * len(Direction) * NEURONS
    others = mismatched_labels(named, seed=layer)
    for row in rows[:: NEURONS // 2 + 1]:  # all sites and directions
        site, end, neuron = list(Site)[row["site"]], list(Direction)[row["direction"]], row["neuron"]
        assert row["value"] == values[site][end][neuron]
        assert row["tokens"] == named[:, neuron].tolist()
        agrees(live, row, others)
    assert max(abs(row["moved_delta"]) for row in rows) > 0.05  # or the comparison would say little


@pytest.mark.parametrize("threads", [1, 4])
def test_many_batches_give_what_one_gives(llama: LiveModel, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = effects(llama).measure_layer(1, ranges(0), labels()).to_pylist()
    monkeypatch.setattr("worker.measuring.effect.rows_at_once", lambda _: 7)
    monkeypatch.setattr("worker.measuring.change.TILE", 64)
    monkeypatch.setattr("worker.machine.cores.cores", lambda: threads)
    pauses: list[None] = []
    parts = effects(llama).measure_layer(1, ranges(0), labels(), lambda: pauses.append(None)).to_pylist()
    assert len(pauses) >= len(whole) / 7
    for whole_row, part_row in zip(whole, parts, strict=True):
        assert whole_row["deltas"] == pytest.approx(part_row["deltas"], abs=1e-6)
        assert (whole_row["neuron"], whole_row["site"], whole_row["direction"]) == (
            part_row["neuron"],
            part_row["site"],
            part_row["direction"],
        )


def test_some_neurons_are_measured_as_all_are(llama: LiveModel) -> None:
    every = effects(llama).measure_layer(2, ranges(0), labels()).to_pylist()
    rows_of_some = effects(llama).measure_layer(2, ranges(0), labels(), only=torch.tensor([40, 3])).to_pylist()
    assert [row["neuron"] for row in rows_of_some] == [40, 3] * 4
    expected = {(row["site"], row["direction"], row["neuron"]): row for row in every}
    for row in rows_of_some:
        expected_row = expected[row["site"], row["direction"], row["neuron"]]
        assert row["deltas"] == pytest.approx(expected_row["deltas"], abs=1e-6)
        assert row["controls"] == pytest.approx(expected_row["controls"], abs=1e-6)


@pytest.fixture
def planted(llama: LiveModel) -> Iterator[LiveModel]:
    """Neuron 5 of layer 2 writes token 33, on a column that is put back afterwards."""
    weight = llama.sites.module(2, Site.act).get_parameter("weight")  # (width, neurons)
    head = llama.model.get_submodule("lm_head").get_parameter("weight")
    before = weight[:, 5].clone()
    weight[:, 5] = 3 * head[33] / head[33].norm()
    yield llama
    weight[:, 5] = before


def test_a_planted_neuron_raises_the_token_it_writes_most_of_all(planted: LiveModel) -> None:
    """Its down label names the token it writes, its up label does not."""
    named = torch.zeros(LABELS, NEURONS, dtype=torch.long) + torch.arange(NEURONS) + 100
    named[label_place(View.down, Lens.cosine), 5] = 33
    ends = {
        site: {Direction.high: torch.full((NEURONS,), 4.0), Direction.low: torch.full((NEURONS,), -4.0)}
        for site in SITES
    }
    rows = effects(planted, [Site.act]).measure_layer(2, ends, named, only=torch.tensor([5])).to_pylist()
    high, low = rows
    place = label_place(View.down, Lens.cosine)
    assert (high["tokens"][place], high["ranks"][place], high["moved"]) == (33, 0, 33)
    assert high["deltas"][place] > 0.5  # as far as this tiny head can go
    assert abs(high["controls"][place]) < high["deltas"][place] / 3
    assert (low["ranks"][place], low["moved"]) == (TOKENS - 1, 33)
    assert low["deltas"][place] < -0.5
    up_place = label_place(View.up, Lens.cosine)
    assert high["tokens"][up_place] == 105
    assert high["deltas"][up_place] < 0.5
    assert high["ranks"][up_place] > 0


def test_a_change_beyond_what_exp_can_hold(llama: LiveModel) -> None:
    """A value far out on a model that is very sure of itself: changes of hundreds of nats."""
    norm = llama.model.get_submodule(llama.sites.family.norm).get_parameter("weight")
    norm.mul_(3000)
    try:
        rows = (
            effects(llama, [Site.act]).measure_layer(LAYERS - 1, ranges(3), labels(), only=torch.arange(3)).to_pylist()
        )
        for row in rows:
            shift, kl = changes(llama, clamp_of(row))
            assert row["deltas"] == pytest.approx(shift[row["tokens"]].tolist(), rel=1e-3)
            assert row["kl"] == pytest.approx(kl, rel=1e-3)
        assert max(abs(row["moved_delta"]) for row in rows) > 100
    finally:
        norm.div_(3000)


def test_labels_a_model_does_not_have_are_null(gpt2: LiveModel) -> None:
    named = labels()
    named[[label_place(View.gate, lens) for lens in Lens]] = ABSENT
    row = effects(gpt2).measure_layer(0, ranges(0), named, only=torch.tensor([9])).to_pylist()[0]
    absent = [place in (label_place(View.gate, lens) for lens in Lens) for place in range(LABELS)]
    for name, nothing in (("tokens", ABSENT), ("ranks", ABSENT), ("deltas", None), ("controls", None)):
        assert [value == nothing for value in row[name]] == absent, name


def test_the_model_is_left_as_it_was(live: LiveModel) -> None:
    before = live.model(torch.tensor([PROMPTS[0]])).logits
    effects(live).measure_layer(1, ranges(0), labels(), only=torch.tensor([1]))
    assert live.model.config._attn_implementation != NAME
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in live.model.modules())
    assert torch.equal(live.model(torch.tensor([PROMPTS[0]])).logits, before)


def test_a_head_that_does_something_unknown_is_refused(llama: LiveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama.model.config, "final_logit_softcapping", 0.01, raising=False)
    with pytest.raises(CheckpointError, match="more than a product"):
        effects(llama)


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_rows_attend_to_what_they_share_and_to_themselves(softcap: float | None) -> None:
    """Six query heads on two key heads, against every row alone as the last position of a plain softmax."""
    chance = torch.Generator().manual_seed(0)
    query = torch.randn(1, 6, 9, 8, generator=chance) * 3
    own_key, own_value, key, value = (torch.randn(1, 2, 9, 8, generator=chance) for _ in range(4))
    prefix = Prefix([key[:, :, :4]], [value[:, :, :4]])
    got, _ = attend_by_row(
        torch.nn.Identity(), query, *prefix.update(own_key, own_value, 0), scaling=0.7, softcap=softcap
    )
    for row in range(9):
        keys = torch.cat([key[0, :, :4], own_key[0, :, row, None]], 1).repeat_interleave(3, 0)  # (heads, 5, size)
        values = torch.cat([value[0, :, :4], own_value[0, :, row, None]], 1).repeat_interleave(3, 0)
        scores = 0.7 * torch.einsum("hd,hpd->hp", query[0, :, row], keys)
        scores = scores if softcap is None else softcap * (scores / softcap).tanh()
        assert torch.allclose(got[0, row], torch.einsum("hp,hpd->hd", scores.softmax(-1), values), atol=1e-5)


# --- the control -----------------------------------------------------------------------------------------------


def test_a_control_names_another_token_of_the_layer() -> None:
    named = torch.randint(0, 9, (LABELS, 200), generator=torch.Generator().manual_seed(0))
    others = mismatched_labels(named, seed=3)
    assert (others != named).all()
    assert torch.equal(others, mismatched_labels(named, seed=3))
    assert not torch.equal(others, mismatched_labels(named, seed=4))
    for place in range(LABELS):
        assert set(others[place].tolist()) <= set(named[place].tolist())


def test_where_all_name_one_token_there_is_no_other() -> None:
    named = torch.full((LABELS, 5), 8)
    assert torch.equal(mismatched_labels(named, seed=0), named)
