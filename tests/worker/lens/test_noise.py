"""The noise level of labels: what the control is made of, how often it is beaten by chance, and planted neurons."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from neuronym.contract import Lens, Strength, View
from neuronym.label_tables import code
from neuronym.settings import ROOT, Settings
from tests.checkpoints import LAYERS, NEURONS, make_checkpoint
from tests.reading import rows
from worker.errors import LabelFileError
from worker.lens.decoder import Decoder
from worker.lens.exact import Head
from worker.lens.noise import CONTROLS, RATES, RULE, Thresholds, mixtures, reach
from worker.map_run import MapRun
from worker.mapping.mapping import Progress
from worker.mapping.noise_level import noise_level

DOWN = "model.layers.{}.mlp.down_proj.weight"
HEAD = "model.embed_tokens.weight"
NOISE, STRONG = code(Strength.noise), code(Strength.strong)
FRESH = 10_000


def layer_rows(neurons: int = 400, width: int = 64, seed: int = 0) -> Tensor:
    """Rows with a shared mean, one strong channel, and lengths that differ."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(neurons, width, generator=generator)
    rows[:, 3] *= 6
    return (rows + 0.7) * torch.rand(neurons, 1, generator=generator).add(0.1)


def control_of(data: Path, model: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """The one measurement of the model's control: its settings and result."""
    kind = f"SELECT settings, result FROM measurement WHERE kind = 'control' AND model = {model}"
    ((settings, result),) = rows(data, kind)
    return json.loads(settings), json.loads(result)


def mapped_with(change: Callable[[dict[str, Tensor]], None], source: Path, folder: Path) -> Path:
    """A data folder with a checkpoint mapped whose weights `change` edits in place."""
    make_checkpoint(folder / "model")
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model" / "model.safetensors", metadata={"format": "pt"})
    MapRun(Settings(data=folder / "data")).map([str(folder / "model")], ["planted"])
    return folder / "data"


def test_a_control_has_the_mean_and_covariance_of_its_layer() -> None:
    rows = layer_rows()
    unit = torch.nn.functional.normalize(rows, dim=1)
    control = mixtures(rows, seed=1, count=20_000) / torch.linalg.vector_norm(rows, dim=1).median()
    torch.testing.assert_close(control.mean(0), unit.mean(0), rtol=0.05, atol=0.01)
    torch.testing.assert_close(control.T.cov(), unit.T.cov(), rtol=0.05, atol=0.001)
    assert control.var(0)[3] > 5 * control.var(0).median()  # white noise would have no strong channel


def test_a_control_is_seeded_and_as_long_as_its_layer() -> None:
    rows = layer_rows()
    control = mixtures(rows, seed=1)
    assert torch.equal(control, mixtures(rows, seed=1))
    assert not torch.equal(control, mixtures(rows, seed=2))
    typical = torch.linalg.vector_norm(rows, dim=1).median().item()
    assert torch.linalg.vector_norm(control, dim=1).median().item() == pytest.approx(typical, rel=0.1)


def test_long_rows_and_zero_rows_do_not_change_a_control() -> None:
    rows = layer_rows(50)
    stretched = rows * torch.linspace(1, 100, 50)[:, None]
    longer = torch.cat([stretched, torch.zeros(7, rows.shape[1])])
    first, second = (torch.nn.functional.normalize(mixtures(matrix, seed=1), dim=1) for matrix in (rows, longer))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    assert mixtures(torch.zeros(5, 8), seed=1).eq(0).all()


@pytest.mark.parametrize("controls, expected", [(199, (10, 4)), (99, (5, 2)), (19, (1, 1))])
def test_thresholds_are_ranks_that_make_the_rates(controls: int, expected: tuple[int, int]) -> None:
    class Known:
        furthest = torch.arange(1.0, controls + 1)[torch.randperm(controls)]

    thresholds = Thresholds.of(Known())  # type: ignore[arg-type]
    assert (thresholds.weak, thresholds.strong) == tuple(controls + 1 - rank for rank in expected)
    reached = torch.tensor([0.0, thresholds.weak, thresholds.strong + 0.5])
    assert thresholds.strength(reached).tolist()[::2] == [NOISE, STRONG]
    assert thresholds.strength(reached)[1] < STRONG  # to reach is not to exceed


@pytest.mark.parametrize("lens", Lens)
def test_fresh_controls_come_out_at_the_stated_rates(lens: Lens) -> None:
    """10,000 controls of other seeds against the thresholds of 20 layers."""
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(2000, 64, generator=generator) * torch.rand(2000, 1, generator=generator) + 0.2
    decoder = Decoder(Head(weight, torch.arange(2000)), "fp32", weight[:1])
    strengths = []
    for layer in range(20):
        rows = layer_rows(seed=layer)
        control, fresh = (
            reach(decoder.decode(mixtures(rows, seed, count), 2, 1)[0][lens])
            for seed, count in ((layer, CONTROLS), (1000 + layer, FRESH // 20))
        )
        strengths.append(Thresholds.of(control).strength(fresh.furthest))
    strength = torch.cat(strengths)
    assert len(strength) == FRESH
    strong, beyond_noise = (strength == STRONG).float().mean().item(), (strength > NOISE).float().mean().item()
    assert strong <= 0.05 and beyond_noise <= 0.07
    assert strong == pytest.approx(RATES[Strength.strong], abs=0.008)
    assert beyond_noise == pytest.approx(RATES[Strength.weak], abs=0.012)


def test_a_planted_neuron_is_strong_at_the_end_it_was_planted(tiny_llama: Path, tmp_path: Path) -> None:
    token, writes, suppresses = 200, 11, 12

    def plant(tensors: dict[str, Tensor]) -> None:
        tensors[DOWN.format(2)][:, writes] = 2 * tensors[HEAD][token]
        tensors[DOWN.format(2)][:, suppresses] = -2 * tensors[HEAD][token]

    data = mapped_with(plant, tiny_llama, tmp_path)
    condition = f"view = {code(View.down)} AND layer = 2"
    label = f"SELECT top_ids[1], bottom_ids[1], strength FROM label WHERE {condition} AND lens = 1 AND neuron = "
    ((top, _, strength),) = rows(data, f"{label}{writes}")
    assert (top, strength) == (token, STRONG)
    ((_, bottom, strength),) = rows(data, f"{label}{suppresses}")
    assert (bottom, strength) == (token, STRONG)
    hit = f"SELECT side, neuron FROM label_by_token WHERE {condition} AND token = {token} AND rank = 0"
    assert set(rows(data, f"{hit} AND strength = {STRONG} AND lens = 1")) >= {(0, writes), (1, suppresses)}
    ends = f"SELECT side, max(strength) FROM label_by_token WHERE {condition} AND lens = 1 AND neuron = "
    assert dict(rows(data, f"{ends}{writes} GROUP BY side"))[1] < STRONG  # what it suppresses is chance
    assert dict(rows(data, f"{ends}{suppresses} GROUP BY side"))[0] < STRONG


def test_the_stronger_end_is_the_labels_strength(data_folder: Path) -> None:
    wrong = """SELECT count(*), sum(one <> 1) FROM (
        SELECT count(DISTINCT l.strength) AS one, max(s.strength) <> any_value(l.strength) AS wrong
        FROM label_by_token s JOIN label l USING (model, view, lens, layer, neuron)
        GROUP BY s.model, s.view, s.lens, s.layer, s.neuron) WHERE NOT wrong"""
    assert rows(data_folder, wrong) == [(LAYERS * NEURONS * 3 * 2, 0)]


def test_random_weights_are_mostly_noise(data_folder: Path) -> None:
    """The tiny model's rows are white noise, and so is its control."""
    ((strong, beyond, labels),) = rows(
        data_folder, f"SELECT sum((strength = {STRONG})::INT), sum((strength > {NOISE})::INT), count(*) FROM label"
    )
    assert 0 < strong <= 0.05 * labels
    assert beyond <= 0.1 * labels


def test_the_account_of_the_control_can_be_printed(data_folder: Path) -> None:
    settings, result = control_of(data_folder)
    assert settings == {"rule": RULE, "controls": CONTROLS, "rates": {"weak": 0.05, "strong": 0.02}}
    assert [(row["view"], row["lens"]) for row in result["views"]] == [(v, n) for v in View for n in Lens]
    counted = rows(
        data_folder,
        "SELECT view, lens, strength, count(*) FROM label GROUP BY ALL ORDER BY ALL",
    )
    for view, lens, strength, count in counted:
        (row,) = (x for x in result["views"] if (x["view"], x["lens"]) == (list(View)[view], list(Lens)[lens]))
        assert row[list(Strength)[strength]] == count
        assert row["labels"] == LAYERS * NEURONS
        assert row["false_strong"] == pytest.approx(0.02 * LAYERS * NEURONS, abs=0.05)
        assert row["false_share"] == pytest.approx(min(1, 0.02 * LAYERS * NEURONS / max(row["strong"], 1)), abs=1e-3)
    assert len(result["layers"]) == LAYERS * 3 * 2
    assert all(row["strong_above"] >= row["weak_above"] > 0 for row in result["layers"])


def test_a_resumed_run_has_the_same_control(tiny_llama: Path, data_folder: Path, tmp_path: Path) -> None:
    class Cut(Exception):
        """The run was cut off."""

    def cut(progress: Progress) -> None:
        if progress.layers_done == 2:
            raise Cut

    with pytest.raises(Cut):
        MapRun(Settings(data=tmp_path), report=cut).map([str(tiny_llama)], ["tiny"])
    for _ in range(2):  # resumed, then mapped once more: renewed, not doubled
        MapRun(Settings(data=tmp_path)).map([str(tiny_llama)], ["tiny"])
        (settings, result), (settings_again, result_again) = control_of(tmp_path), control_of(data_folder)
        assert (settings, result["views"]) == (settings_again, result_again["views"])
        for row, same in zip(result["layers"], result_again["layers"], strict=True):
            assert row == pytest.approx(same, abs=1e-5)  # sums of another order differ in the last digit


def test_an_ungated_model_and_a_layer_of_zeros(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "gpt2", "gpt2")
    tensors = load_file(folder / "model.safetensors")
    (name,) = (name for name in tensors if name.endswith("h.1.mlp.c_proj.weight"))
    tensors[name].zero_()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    MapRun(Settings(data=tmp_path / "data")).map([str(folder)], ["gpt2"])
    _, result = control_of(tmp_path / "data")
    assert {row["view"] for row in result["views"]} == {"up", "down"}
    silent = [row for row in result["layers"] if (row["view"], row["layer"]) == ("down", 1)]
    assert [(row["noise"], row["strong_above"], row["false_share"]) for row in silent] == [(NEURONS, 0, 0)] * 2
    of_zeros = f"SELECT DISTINCT strength FROM label WHERE view = {code(View.down)} AND layer = 1"
    assert rows(tmp_path / "data", of_zeros) == [(NOISE,)]
    in_search = f"SELECT DISTINCT strength FROM label_by_token WHERE view = {code(View.down)} AND layer = 1"
    assert rows(tmp_path / "data", in_search) == [(NOISE,)]


def test_the_documented_rule_is_the_rule() -> None:
    documented = (ROOT / "docs" / "method.md").read_text().replace("\n> ", " ")
    assert RULE in documented


def test_without_shards_there_is_nothing_to_tell() -> None:
    with pytest.raises(LabelFileError, match="--fresh"):
        noise_level([])
