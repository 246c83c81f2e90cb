"""Pairs with planted changes: every figure is what arithmetic says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Tensor

from neuronym.settings import Settings
from tests.checkpoints import LAYERS, NEURONS, make_checkpoint, make_tokenizer
from tests.reading import rows
from worker.cli.group import main
from worker.errors import CheckpointError, LabelFileError
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe
from worker.mapping.pairs import row_cosine

UP = "model.layers.{}.mlp.up_proj.weight"
DOWN = "model.layers.{}.mlp.down_proj.weight"


def changed(source: Path, target: Path, change: Callable[[dict[str, Tensor]], None]) -> Path:
    """A copy of a checkpoint whose weights `change` edits in place."""
    make_checkpoint(target)
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def compare(base: Path, instruct: Path, data: Path) -> Path:
    MapRun(Settings(data=data)).map_pair(str(base), str(instruct), ["before", "after"], "planted")
    return data


def test_models_of_the_same_neurons(tiny_llama: Path, tmp_path: Path) -> None:
    same = changed(tiny_llama, tmp_path / "same", lambda tensors: tensors["model.norm.weight"].zero_())  # type: ignore[arg-type]
    data = compare(tiny_llama, same, tmp_path / "data")
    assert rows(data, "SELECT DISTINCT agreement, near_ties, mean_cosine, mean_overlap FROM agreement") == [
        (1, 0, 1, 1)
    ]
    assert rows(data, "SELECT count(*) FROM drift") == [(LAYERS * NEURONS * 3 * 2,)]
    assert rows(data, "FROM concept") == []
    assert rows(data, "SELECT DISTINCT same_top FROM drift") == [(True,)]
    ends = ", ".join(f"{side}_{place}" for place in range(5) for side in ("base", "instruct"))
    first = ", ".join(f"top_ids[{place}], top_ids[{place}]" for place in range(1, 6))
    order = "ORDER BY view, lens, layer, neuron"
    assert rows(data, f"SELECT {ends} FROM drift {order}") == rows(
        data, f"SELECT {first} FROM label WHERE model = 1 {order}"
    )
    assert rows(data, "SELECT name, base, instruct FROM pair") == [("planted", "before", "after")]


def test_scaled_rows_change_no_cosine_label(tiny_llama: Path, tmp_path: Path) -> None:
    def scale(tensors: dict[str, Tensor]) -> None:
        for layer in range(LAYERS):
            tensors[UP.format(layer)] *= 3

    data = compare(tiny_llama, changed(tiny_llama, tmp_path / "scaled", scale), tmp_path / "data")
    assert rows(data, "SELECT DISTINCT agreement, mean_overlap FROM agreement") == [(1, 1)]
    assert rows(data, "SELECT min(cosine) > 1 - 1e-6 FROM drift") == [(True,)]
    assert rows(
        data,
        """SELECT max(abs(a.top_scores[1] - b.top_scores[1])) < 1e-5 FROM label a JOIN label b
        ON (a.view, a.lens, a.layer, a.neuron) = (b.view, b.lens, b.layer, b.neuron)
        WHERE a.model = 0 AND b.model = 1 AND a.lens = 1""",
    ) == [(True,)]


def test_swapped_rows_are_the_only_ones_that_moved(tiny_llama: Path, tmp_path: Path) -> None:
    def swap(tensors: dict[str, Tensor]) -> None:
        weight = tensors[UP.format(2)]
        weight[[5, 9]] = weight[[9, 5]]

    data = compare(tiny_llama, changed(tiny_llama, tmp_path / "swapped", swap), tmp_path / "data")
    assert rows(data, "SELECT DISTINCT view, layer, neuron FROM drift WHERE cosine < 0.999 ORDER BY ALL") == [
        (0, 2, 5),
        (0, 2, 9),
    ]
    weight = load_file(tiny_llama / "model.safetensors")[UP.format(2)].double()
    expected = torch.nn.functional.cosine_similarity(weight[5], weight[9], dim=0).item()
    ((cosine,),) = rows(data, "SELECT DISTINCT cosine FROM drift WHERE layer = 2 AND neuron = 5 AND view = 0")
    assert cosine == pytest.approx(expected, abs=1e-6)

    swapped = "model = {} AND view = 0 AND lens = 1 AND layer = 2 AND neuron = {}"
    for neuron, other in ((5, 9), (9, 5)):
        before = rows(data, f"SELECT top_ids FROM label WHERE {swapped.format(0, neuron)}")
        assert before == rows(data, f"SELECT top_ids FROM label WHERE {swapped.format(1, other)}")
    moved = rows(data, "SELECT count(*) FROM drift WHERE NOT same_top AND view = 0 AND lens = 1")[0][0]
    assert moved == 2
    assert rows(data, "SELECT agreement, neurons FROM agreement WHERE view = 0 AND lens = 1 AND layer = 2") == [
        (pytest.approx(1 - 2 / NEURONS), NEURONS)
    ]
    group = "view = 0 AND lens = 1 AND layer IS NULL AND strength IS"
    assert rows(data, f"SELECT agreement FROM agreement WHERE {group} NULL") == [
        (pytest.approx(1 - 2 / (NEURONS * LAYERS)),)
    ]
    by_strength = f"SELECT sum(neurons), count(*) > 1 FROM agreement WHERE {group} NOT NULL"
    assert rows(data, by_strength) == [(NEURONS * LAYERS, True)]


def test_concepts_are_gained_where_others_are_lost(tiny_llama: Path, tmp_path: Path) -> None:
    """One neuron's row is overwritten by another's: one concept gains a neuron, one loses it."""

    def overwrite(tensors: dict[str, Tensor]) -> None:
        tensors[DOWN.format(3)][:, 7] = tensors[DOWN.format(3)][:, 8]

    data = compare(tiny_llama, changed(tiny_llama, tmp_path / "over", overwrite), tmp_path / "data")
    top = "SELECT top_ids[1] FROM label WHERE model = 1 AND view = 2 AND lens = 1 AND layer = 3 AND neuron = {}"
    ((lost,),), ((gained,),) = rows(data, top.format(7)), rows(data, top.format(8))
    assert lost != gained
    concepts = rows(data, "SELECT token, instruct_neurons - base_neurons FROM concept WHERE view = 2 AND lens = 1")
    assert sorted(concepts) == sorted([(lost, -1), (gained, 1)])


def test_a_permuted_layer_and_ranks(tiny_llama: Path, tmp_path: Path) -> None:
    order = torch.randperm(NEURONS, generator=torch.Generator().manual_seed(3))

    def permute(tensors: dict[str, Tensor]) -> None:
        tensors[UP.format(1)] = tensors[UP.format(1)][order].contiguous()

    data = compare(tiny_llama, changed(tiny_llama, tmp_path / "permuted", permute), tmp_path / "data")
    labels = dict(rows(data, "SELECT neuron, top_ids FROM label WHERE model=1 AND view=0 AND lens=0 AND layer=1"))
    drift = rows(
        data,
        """SELECT neuron, same_top, overlap, base_rank, instruct_rank, base_0, instruct_0 FROM drift
        WHERE view = 0 AND lens = 0 AND layer = 1""",
    )
    assert len(drift) == NEURONS
    for neuron, same_top, overlap, base_rank, instruct_rank, base_0, instruct_0 in drift:
        before, after = list(labels[neuron]), list(labels[int(order[neuron])])
        assert same_top == (before[0] == after[0])
        assert overlap == pytest.approx(len(set(before) & set(after)) / len(before))
        assert base_rank == (before.index(after[0]) if after[0] in before else None)
        assert instruct_rank == (after.index(before[0]) if before[0] in after else None)
        assert (base_0, instruct_0) == (before[0], after[0])
    agreements = rows(data, "SELECT min(agreement) FROM agreement WHERE layer IS NOT NULL AND NOT (layer=1 AND view=0)")
    assert agreements == [(1,)]


def test_a_near_tie_is_told_from_a_change(tmp_path: Path) -> None:
    """Two head rows that nearly tie for a neuron change places; a third neuron gets another label altogether."""
    base = make_checkpoint(tmp_path / "base", "llama-untied")
    tensors = load_file(base / "model.safetensors")
    row = tensors[UP.format(0)][3]
    direction = row / row.norm()
    tensors["lm_head.weight"][40] = direction * 5
    tensors["lm_head.weight"][41] = direction * 4.999
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})

    def nudge(changed: dict[str, Tensor]) -> None:
        changed["lm_head.weight"][41] = direction * 5.001
        changed[UP.format(0)][4] = -changed[UP.format(0)][4]

    instruct = make_checkpoint(tmp_path / "instruct", "llama-untied")
    nudge(tensors)
    save_file(tensors, instruct / "model.safetensors", metadata={"format": "pt"})
    data = compare(base, instruct, tmp_path / "data")
    drift = rows(
        data, "SELECT neuron, same_top, near_tie FROM drift WHERE view=0 AND lens=0 AND layer=0 AND neuron IN (3, 4)"
    )
    assert sorted(drift) == [(3, False, True), (4, False, False)]


def test_pairs_survive_the_next_build(tiny_llama: Path, tmp_path: Path) -> None:
    data = compare(tiny_llama, changed(tiny_llama, tmp_path / "b", lambda t: t[UP.format(0)].neg_()), tmp_path / "data")  # type: ignore[arg-type]
    before = rows(data, "FROM drift"), rows(data, "FROM agreement ORDER BY ALL")
    MapRun(Settings(data=data)).map([str(make_checkpoint(tmp_path / "c", "gpt2"))], ["third"])
    assert (rows(data, "FROM drift"), rows(data, "FROM agreement ORDER BY ALL")) == before
    MapRun(Settings(data=data), MapRecipe(top_k=6)).map([str(tiny_llama)], ["before"])
    assert rows(data, "SELECT count(*), count(DISTINCT (pair, view, lens, layer, neuron)) FROM drift") == [
        (LAYERS * NEURONS * 6, LAYERS * NEURONS * 6)
    ]


def test_one_base_in_several_pairs(tiny_llama: Path, tmp_path: Path) -> None:
    run = MapRun(Settings(data=tmp_path / "data"))
    for name, seed in (("x", 1), ("y", 2)):
        other = make_checkpoint(tmp_path / name, seed=seed)
        run.map_pair(str(tiny_llama), str(other), ["base", name])
    assert rows(tmp_path / "data", "SELECT name FROM pair ORDER BY id") == [("base-to-x",), ("base-to-y",)]
    assert rows(tmp_path / "data", "SELECT pair, count(*) FROM drift GROUP BY pair ORDER BY pair") == [
        (0, LAYERS * NEURONS * 6),
        (1, LAYERS * NEURONS * 6),
    ]
    mapped: list[object] = []
    again = MapRun(run.settings, MapRecipe(top_k=6), report=mapped.append)
    with pytest.raises(LabelFileError, match="--pair-name"):
        again.map_pair(str(tmp_path / "x"), str(tmp_path / "y"), ["x", "y"], "base-to-x")
    assert not mapped


def test_what_cannot_be_compared_is_refused_before_mapping(tiny_llama: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "gpt2", "gpt2")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(other)
    with pytest.raises(CheckpointError, match=r"architecture \(llama and gpt2\), views .*, tokenizer"):
        compare(tiny_llama, other, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_one_checkpoint_under_two_names_is_no_pair(tiny_llama: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_llama, tmp_path / "copy"))
    with pytest.raises(CheckpointError, match="are one checkpoint"):
        compare(tiny_llama, copy, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_row_cosine() -> None:
    before = torch.tensor([[1.0, 0], [0, 0], [0, 0], [1, 1]])
    after = torch.tensor([[0.0, 2], [0, 0], [1, 0], [-2, -2]])
    assert row_cosine(before, after).tolist() == pytest.approx([0, 1, 0, -1])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--pair", "nobody"], "choose from"),
        (["a", "b", "c"], "Give one MODEL"),
        ([], "Give one MODEL"),
        (["a", "--pair", "llama-3.1-8b"], "without MODEL"),
    ],
)
def test_arguments_that_name_no_pair(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["map", *arguments, "--data", str(tmp_path)])
    assert result.exit_code == 2 and words in result.output


def test_two_folders_on_the_command_line_are_a_pair(tiny_llama: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", seed=5)
    arguments = [
        "map",
        str(tiny_llama),
        str(other),
        "--name",
        "a",
        "--name",
        "b",
        "--data",
        str(tmp_path / "d"),
        "--json",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert rows(tmp_path / "d", "SELECT name FROM pair") == [("a-to-b",)]
    assert json.loads(result.stdout.splitlines()[-1])["published"]
