"""The report on labels: what it counts on planted neurons."""

import json
import shutil
from itertools import product
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from neuronym.contract import Direction, Lens, Side, Site, Strength, View
from neuronym.label_tables import code, label_place
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, NEURONS, WIDTH
from tests.reading import rows
from worker.cli.group import main
from worker.cli.trust import render
from worker.errors import CheckpointError, LabelFileError
from worker.map_run import MapRun
from worker.measuring.measure import Measurement
from worker.trust.chart import chart
from worker.trust.holding import judge_labels
from worker.trust.recipes import OWN_GAIN, PLAIN, RECIPES
from worker.trust.report import TRIED, TrustReport

DOWN, HEAD = "model.layers.{}.mlp.down_proj.weight", "model.embed_tokens.weight"
READING = ("model.layers.{}.mlp.up_proj.weight", "model.layers.{}.mlp.gate_proj.weight")
NORM_BEFORE = "model.layers.{}.post_attention_layernorm.weight"
LAST = LAYERS - 1
PLANTED = range(4, 12)  # neurons of the last layer that write a token each, the first four of them with a minus sign


@pytest.fixture(scope="module")
def planted(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with planted write directions, and gains before each MLP that are powers of two."""
    checkpoint = Path(shutil.copytree(tiny_llama, tmp_path_factory.mktemp("trust") / "planted"))
    tensors = load_file(checkpoint / "model.safetensors")
    for neuron in PLANTED:
        row = tensors[HEAD][20 * neuron]
        tensors[DOWN.format(LAST)][:, neuron] = (-2 if neuron < PLANTED[4] else 2) * row / row.norm()
    generator = torch.Generator().manual_seed(0)
    for layer in range(LAYERS):
        tensors[NORM_BEFORE.format(layer)] = 2.0 ** torch.randint(-2, 3, (WIDTH,), generator=generator)
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})
    return checkpoint


def measure(checkpoint: Path, data: Path) -> Path:
    """Map and measure a checkpoint as `planted` into a data folder; return the folder."""
    MapRun(Settings(data=data)).map([str(checkpoint)], ["planted"])
    Measurement(Settings(data=data)).measure("planted")
    return data


def report_on_all(data: Path, folder: Path) -> TrustReport:
    """The report whose recipes are tried on all neurons."""
    figures = folder / "figures.json"
    options = ["--data", str(data), "--out", str(folder), "--sample", str(NEURONS), "--json", str(figures)]
    assert CliRunner().invoke(main, ["trust", *options]).exit_code == 0
    return TrustReport.model_validate_json(figures.read_text())


@pytest.fixture(scope="module")
def data(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted model, measured."""
    return measure(planted, tmp_path_factory.mktemp("measured") / "data")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrustReport:
    return report_on_all(data, tmp_path_factory.mktemp("report"))


def test_planted_neurons_are_strong_and_do_what_their_labels_say(data: Path) -> None:
    """Clamped high, a neuron that writes a token raises it and one that writes against it lowers it."""
    matches = rows(
        data,
        f"""SELECT neuron, side, token, strength, effect FROM label_by_token
        WHERE view = {code(View.down)} AND lens = {code(Lens.cosine)} AND layer = {LAST} AND rank = 0""",
    )
    by_end = {(neuron, side): (token, strength, effect) for neuron, side, token, strength, effect in matches}
    for neuron in PLANTED:
        side = Side.bottom if neuron < PLANTED[4] else Side.top
        token, strength, effect = by_end[neuron, code(side)]
        assert (token, strength) == (20 * neuron, code(Strength.strong))
        assert effect > 0 if side is Side.top else effect < 0


def test_groups_count_what_the_tables_hold(data: Path) -> None:
    report = judge_labels(data, "planted")
    for view, lens, site in ((View.down, Lens.cosine, Site.act), (View.up, Lens.logit, Site.up)):
        held = trials(data, view, lens, site)
        group = report.group(view, lens, site)
        assert group.labels == len(held) == LAYERS * NEURONS
        assert group.rises == pytest.approx(sum(delta > 0 for delta, _ in held) / len(held))
        assert group.beyond_control == pytest.approx(sum(delta > control for delta, control in held) / len(held))
        assert group.mean == pytest.approx(sum(delta for delta, _ in held) / len(held), abs=1e-6)
        thirds = [report.group(view, lens, site, third) for third in ("first", "middle", "last")]
        assert [third.labels for third in thirds] == [2 * NEURONS, NEURONS, NEURONS]
        assert [layer.labels for layer in report.by_layer(view, lens, site)] == [NEURONS] * LAYERS


def trials(data: Path, view: View, lens: Lens, site: Site) -> list[tuple[float, float]]:
    """Change and control of each label at the end that stands further out, found one by one."""
    labels = rows(
        data,
        f"""SELECT layer, neuron, top_scores[1] - mean, mean - bottom_scores[1] FROM label
        WHERE view = {code(view)} AND lens = {code(lens)}""",
    )
    pairs = []
    effects = {
        (layer, neuron, direction): (deltas, controls)
        for layer, neuron, direction, deltas, controls in rows(
            data, f"SELECT layer, neuron, direction, deltas, controls FROM effect WHERE site = {code(site)}"
        )
    }
    for layer, neuron, above, below in labels:
        side, direction = (Side.bottom, Direction.low) if below > above else (Side.top, Direction.high)
        deltas, controls = effects[layer, neuron, code(direction)]
        place = label_place(view, lens, side)
        pairs.append((deltas[place], controls[place]))
    return pairs


def test_the_file_says_which_view_and_lens_hold_most(data: Path) -> None:
    ((result,),) = rows(data, "SELECT result FROM measurement WHERE kind = 'effect'")
    report = judge_labels(data, "planted")
    own = [(View.up, Site.up), (View.gate, Site.act), (View.down, Site.act)]
    best = max(
        ((view, lens) for view, _ in own for lens in Lens),
        key=lambda place: report.group(place[0], place[1], dict(own)[place[0]]).beyond_control,
    )
    assert json.loads(result)["first"] == {"view": best[0], "lens": best[1]}
    assert report.first == best


def test_the_command_writes_the_report(data: Path, tmp_path: Path) -> None:
    figures = str(tmp_path / "figures.json")
    done = CliRunner().invoke(
        main, ["trust", "--data", str(data), "--out", str(tmp_path), "--sample", "8", "--json", figures]
    )
    assert done.exit_code == 0, done.output
    report = TrustReport.model_validate_json((tmp_path / "figures.json").read_text())
    assert [result.model for result in report.models] == ["planted"]
    assert {result.recipe for result in report.recipes} == {recipe.name for recipe in RECIPES}
    every = [result for result in report.recipes if (result.third, result.strength) == (None, None)]
    assert {result.labels for result in every} == {8 * LAYERS * 2}
    with_own_gain = {recipe.name for recipe in RECIPES if recipe.own_gain}
    assert {result.view for result in every if result.recipe in with_own_gain} == {View.up, View.gate}
    page = (tmp_path / "trust.md").read_text()
    late = report.models[0].group(View.down, Lens.cosine, Site.act, "last", Strength.strong)
    assert f"{late.rises:.1%} of the strong ones hold" in page
    assert "trust.svg" in page and "{{" not in page
    assert (tmp_path / "trust.svg").read_text() == chart(report.models[0])
    assert chart(report.models[0]).count("<polyline") == 6  # three views, each with its control


def test_strong_labels_of_a_recipe_are_those_that_were_mapped(data: Path, whole: TrustReport) -> None:
    """On a sample of all neurons the plain recipes count what the label files do."""
    for lens, recipe in PLAIN.items():
        for view, site in TRIED:
            held = strong_ends(data, view, lens, site)
            result = whole.find_recipe(recipe.name, view, site, strength=Strength.strong)
            assert result and result.labels == len(held) > 0
            assert result.rises == pytest.approx(sum(delta > 0 for delta in held) / len(held))
            assert result.mean == pytest.approx(sum(held) / len(held), abs=1e-6)


def test_the_own_gain_is_that_of_the_same_model_with_its_gains_folded_in(
    planted: Path, whole: TrustReport, tmp_path: Path
) -> None:
    """Rows times the gain, and a gain of 1, make the same model: its bare rows are the others with their own gain.

    Powers of two round nothing, so both models run alike to the last bit.
    """
    folded = Path(shutil.copytree(planted, tmp_path / "folded"))
    tensors = load_file(folded / "model.safetensors")
    for layer in range(LAYERS):
        for name in READING:
            tensors[name.format(layer)] *= tensors[NORM_BEFORE.format(layer)]
        tensors[NORM_BEFORE.format(layer)] = torch.ones(WIDTH)
    save_file(tensors, folded / "model.safetensors", metadata={"format": "pt"})
    bare = report_on_all(measure(folded, tmp_path / "data"), tmp_path)
    for lens, (view, site), strength in product(Lens, TRIED[1:], (None, Strength.strong)):
        ours = whole.find_recipe(OWN_GAIN[lens].name, view, site, strength=strength)
        theirs = bare.find_recipe(PLAIN[lens].name, view, site, strength=strength)
        assert ours and theirs and ours == theirs.model_copy(update={"recipe": ours.recipe})
        without = whole.find_recipe(PLAIN[lens].name, view, site, strength=strength)
        assert without and without.mean != ours.mean


def test_the_report_says_where_the_own_gain_makes_a_difference(whole: TrustReport) -> None:
    """Figures of one comparison are replaced: 900 labels each, of which 50% hold on bare rows and 80% with the gain."""
    report = whole.model_copy(deep=True)
    place = (View.gate, Site.act, None, Strength.strong)
    for recipe, beyond in ((PLAIN[Lens.cosine], 0.5), (OWN_GAIN[Lens.cosine], 0.8)):
        changed = report.find_recipe(recipe.name, *place)
        assert changed
        changed.beyond_control, changed.labels = beyond, 900
    page = render(report)
    said = "In all layers, gate at act, cosine lens, labels hold more often with the own gain, by 30.0%"
    assert said in page and "Nowhere is the difference" not in page
    assert "| gate, act | cosine | all | 900 | 50.0% |" in page and "| +30.0% | 2.4% |" in page


def strong_ends(data: Path, view: View, lens: Lens, site: Site) -> list[float]:
    """The change of the token at each strong end of a view's labels, each clamped its own way."""
    return [
        deltas[label_place(view, lens, side)]
        for side, direction in ((Side.top, Direction.high), (Side.bottom, Direction.low))
        for (deltas,) in rows(
            data,
            f"""SELECT deltas FROM effect JOIN label_by_token USING (model, layer, neuron)
            WHERE view = {code(view)} AND lens = {code(lens)} AND effect.site = {code(site)} AND side = {code(side)}
            AND direction = {code(direction)} AND rank = 0 AND strength = {code(Strength.strong)}""",
        )
    ]


def test_a_model_that_is_not_measured_is_refused(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="effect tiny"):
        judge_labels(data_folder, "tiny")
    with pytest.raises(LabelFileError, match="no model 'other'"):
        judge_labels(data_folder, "other")
    done = CliRunner().invoke(main, ["trust", "--data", str(data_folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "Run `effect` first" in done.output
    assert not (tmp_path / "out").exists()
