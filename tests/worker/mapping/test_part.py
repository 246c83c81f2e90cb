"""A part of a model: its layers alone are mapped, its label file says so, and the rest goes on from them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from neuronym.contract import View
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, NEURONS, make_checkpoint
from tests.reading import rows
from worker.checkpoints.checkpoint import open_checkpoint
from worker.cli.group import main
from worker.errors import CheckpointError
from worker.library.published import published_models
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe, Progress

LABELS = "SELECT * FROM label ORDER BY ALL"
PART = MapRecipe(layers=range(1, 3))


def settings_of(data: Path, name: str = "tiny") -> dict[str, object]:
    settings: dict[str, object] = json.loads(rows(data, f"SELECT settings FROM model WHERE name = '{name}'")[0][0])
    return settings


def layers_of(data: Path) -> dict[str, range]:
    """The layers that are mapped of each model."""
    return {model.name: model.layers for model in published_models(data)}


def shards(data: Path) -> dict[str, int]:
    """The name of each label shard and the time at which it was written."""
    return {path.name: path.stat().st_mtime_ns for path in data.rglob("label-*.parquet")}


def test_only_the_asked_layers_are_mapped(tiny_llama: Path, data_folder: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    MapRun(Settings(data=tmp_path), PART, report=reports.append).map([str(tiny_llama)], ["tiny"])
    whole = rows(data_folder, "SELECT * FROM label WHERE layer IN (1, 2) ORDER BY ALL")
    assert rows(tmp_path, LABELS) == whole
    assert [(report.layers_done, report.layers, report.neurons_done) for report in reports] == [
        (1, 2, NEURONS),
        (2, 2, 2 * NEURONS),
    ]
    result = json.loads(rows(tmp_path, "SELECT result FROM measurement WHERE kind = 'control'")[0][0])
    assert {row["layer"] for row in result["layers"]} == {1, 2}


def test_settings_name_layers_only_where_they_are_a_part(tiny_llama: Path, data_folder: Path, tmp_path: Path) -> None:
    MapRun(Settings(data=tmp_path), PART).map([str(tiny_llama)], ["tiny"])
    part, whole = settings_of(tmp_path), settings_of(data_folder)
    assert part.pop("layers") == [1, 2]
    assert list(part) == list(whole)
    assert part["rows"] == NEURONS * 3 * 2
    assert layers_of(tmp_path) == {"tiny": range(1, 3)}
    assert layers_of(data_folder) == {"tiny": range(LAYERS)}
    checkpoint = open_checkpoint(str(tiny_llama))
    assert MapRecipe(layers=range(LAYERS)).fitted_to(checkpoint) == MapRecipe()
    assert PART.layer_record() == MapRecipe().layer_record() == MapRecipe().record()


def test_the_rest_goes_on_from_the_part(tiny_llama: Path, data_folder: Path, tmp_path: Path) -> None:
    MapRun(Settings(data=tmp_path), PART).map([str(tiny_llama)], ["tiny"])
    part = shards(tmp_path)
    assert set(part) == {f"label-{view}-000{layer}.parquet" for view in View for layer in (1, 2)}
    whole: dict[str, int] = {}
    MapRun(Settings(data=tmp_path), report=lambda _: whole.update(shards(tmp_path))).map([str(tiny_llama)], ["tiny"])
    assert len(whole) == LAYERS * len(View) and part.items() <= whole.items()
    assert rows(tmp_path, LABELS) == rows(data_folder, LABELS)
    assert "layers" not in settings_of(tmp_path)
    assert not shards(tmp_path)


def test_a_part_takes_its_layers_alone_from_a_run_that_was_cut_off(tiny_llama: Path, tmp_path: Path) -> None:
    def cut(progress: Progress) -> None:
        if progress.layers_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MapRun(Settings(data=tmp_path), report=cut).map([str(tiny_llama)], ["tiny"])
    MapRun(Settings(data=tmp_path), PART).map([str(tiny_llama)], ["tiny"])
    assert rows(tmp_path, "SELECT DISTINCT layer FROM label ORDER BY 1") == [(1,), (2,)]
    assert settings_of(tmp_path)["rows"] == NEURONS * 3 * 2
    assert len(shards(tmp_path)) == 3 * len(View)  # nothing that was done is done again later


def test_layers_that_are_mapped_are_not_lost(tiny_llama: Path, tmp_path: Path) -> None:
    run = MapRun(Settings(data=tmp_path), PART)
    run.map([str(tiny_llama)], ["tiny"])
    published = rows(tmp_path, "SELECT run FROM build")
    with pytest.raises(CheckpointError, match="tiny has layers 1 to 2 mapped, which a file with layer 0 would lose"):
        MapRun(run.settings, MapRecipe(layers=range(1))).map([str(tiny_llama)], ["tiny"])
    assert rows(tmp_path, "SELECT run FROM build") == published
    MapRun(run.settings, MapRecipe(layers=range(3))).map([str(tiny_llama)], ["tiny"])
    assert layers_of(tmp_path) == {"tiny": range(3)}


def test_layers_that_the_model_does_not_have(tiny_llama: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["map", str(tiny_llama), "--layers", "2-4", "--data", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "has layers 0 to 3. Give --layers within them." in result.output
    assert not (tmp_path / "data").exists()
    result = CliRunner().invoke(main, ["map", str(tiny_llama), "--layers", "3-1", "--data", str(tmp_path / "data")])
    assert "give a layer or the first and the last, such as 20-29" in result.output


def test_the_command_maps_one_layer(tiny_llama: Path, tmp_path: Path) -> None:
    arguments = ["map", str(tiny_llama), "--name", "tiny", "--layers", "3", "--data", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert settings_of(tmp_path)["layers"] == [3, 3]
    assert rows(tmp_path, "SELECT DISTINCT layer FROM label_by_token") == [(3,)]


def test_a_pair_is_mapped_in_the_same_layers(tiny_llama: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", seed=1)
    data = tmp_path / "data"
    MapRun(Settings(data=data), PART).map_pair(str(tiny_llama), str(other), ["before", "after"])
    assert layers_of(data) == {"after": range(1, 3), "before": range(1, 3)}
    assert rows(data, "SELECT DISTINCT layer FROM drift ORDER BY 1") == [(1,), (2,)]
    MapRun(Settings(data=data)).map([str(tiny_llama)], ["before"])  # one alone: the pair stays what it was
    assert rows(data, "SELECT DISTINCT layer FROM drift ORDER BY 1") == [(1,), (2,)]
    MapRun(Settings(data=data)).map_pair(str(tiny_llama), str(other), ["before", "after"])
    assert rows(data, "SELECT count(DISTINCT layer) FROM drift") == [(LAYERS,)]
    assert not list((data / ".mapping").rglob("*.parquet"))
