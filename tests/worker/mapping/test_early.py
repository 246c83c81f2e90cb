"""Publishing as it comes: one view of the first model, the model, the next; in the end what one run publishes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from neuronym.contract import (
    BuildingBegun,
    MappingLine,
    MappingPlan,
    MappingStep,
    MappingStepBegun,
    Published,
    View,
)
from neuronym.library import Catalogue, read_catalogue
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, make_checkpoint
from tests.reading import rows
from worker.checkpoints.checkpoint import open_checkpoint
from worker.cli.group import main
from worker.library.published import published_models
from worker.map_run import MapRun
from worker.mapping.mapping import Progress
from worker.mapping.plan import plan_steps
from worker.mapping.recipe import MapRecipe
from worker.measuring.measure import Measurement

OF_MODELS = ("label", "label_by_token", "neighbour", "token")
OF_PAIRS = ("drift", "agreement", "concept")


def views_of(data: Path) -> dict[str, list[View]]:
    """The mapped views of each model."""
    return {model.name: model.views for model in published_models(data)}


def early(data: Path, announce: Callable[[MappingLine], None] = lambda _: None) -> MapRun:
    return MapRun(Settings(data=data), early=True, announce=announce)


def steps(run: list[MappingLine]) -> list[MappingStep]:
    (plan,) = [line for line in run if isinstance(line, MappingPlan)]
    return plan.steps


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("other"), seed=1)


@pytest.fixture(scope="module")
def at_once(tiny_llama: Path, other: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the pair, published at the end."""
    data = tmp_path_factory.mktemp("at-once")
    MapRun(Settings(data=data)).map_pair(str(tiny_llama), str(other), ["before", "after"])
    return data


def test_a_pair_comes_piece_by_piece(tiny_llama: Path, other: Path, at_once: Path, tmp_path: Path) -> None:
    lines: list[MappingLine] = []
    views: list[dict[str, list[View]]] = []
    catalogues: list[Catalogue] = []

    def look(line: MappingLine) -> None:
        lines.append(line)
        if isinstance(line, Published):
            views.append(views_of(tmp_path))
            catalogues.append(read_catalogue(tmp_path))
            if len(views) == 1:
                down = list(View).index(View.down)
                for table in OF_MODELS[:2]:
                    wanted = f"SELECT * EXCLUDE model FROM {table} WHERE model = 0 AND view = {down} ORDER BY ALL"
                    assert rows(tmp_path, f"SELECT * EXCLUDE model FROM {table} ORDER BY ALL") == rows(at_once, wanted)

    early(tmp_path, look).map_pair(str(tiny_llama), str(other), ["before", "after"])
    assert views == [{"after": [View.down]}, {"after": list(View)}]
    assert [one.pairs for one in catalogues] == [(), ()]  # a pair is made of whole models
    assert steps(lines) == [
        MappingStep(model="after", views=[View.down]),
        MappingStep(model="after", views=[View.up, View.gate]),
        MappingStep(model="before", views=list(View)),
    ]
    kinds = [type(line) for line in lines]
    assert kinds == [MappingPlan, *[MappingStepBegun, BuildingBegun, Published] * 2, MappingStepBegun, BuildingBegun]
    assert [line.published for line in lines if isinstance(line, Published)] == [one.run for one in catalogues]

    assert views_of(tmp_path) == {"after": list(View), "before": list(View)}
    for table in (*OF_MODELS, *OF_PAIRS):
        assert rows(tmp_path, f"FROM {table} ORDER BY ALL") == rows(at_once, f"FROM {table} ORDER BY ALL"), table
    control = "SELECT name, result FROM model JOIN measurement ON measurement.model = model.id ORDER BY name"
    assert rows(tmp_path, control) == rows(at_once, control)
    assert not list((tmp_path / ".mapping").rglob("*.parquet"))


def test_a_run_that_was_cut_off_goes_on_and_what_was_published_stays(
    tiny_llama: Path, at_once: Path, tmp_path: Path
) -> None:
    def cut(progress: Progress) -> None:
        if progress.views != (View.down,) and progress.layers_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MapRun(Settings(data=tmp_path), early=True, report=cut).map([str(tiny_llama)], ["before"])
    assert views_of(tmp_path) == {"before": [View.down]}
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("label-*.parquet")}
    assert len(shards) == LAYERS + 2 * 2

    lines: list[MappingLine] = []
    kept: dict[Path, int] = {}

    def look(line: MappingLine) -> None:
        lines.append(line)
        if isinstance(line, BuildingBegun):
            kept.update({path: path.stat().st_mtime_ns for path in tmp_path.rglob("label-*.parquet")})

    early(tmp_path, look).map([str(tiny_llama)], ["before"])
    assert steps(lines) == [MappingStep(model="before", views=[View.up, View.gate])]
    assert shards.items() <= kept.items() and len(kept) == LAYERS * len(View)
    labels = "SELECT * EXCLUDE model FROM label {} ORDER BY ALL"
    assert rows(tmp_path, labels.format("")) == rows(at_once, labels.format("WHERE model = 1"))


def test_a_view_that_is_mapped_alone_is_there_for_the_rest(tiny_llama: Path, tmp_path: Path) -> None:
    MapRun(Settings(data=tmp_path), MapRecipe(views=(View.gate,))).map([str(tiny_llama)], ["tiny"])
    reports: list[Progress] = []
    MapRun(Settings(data=tmp_path), report=reports.append).map([str(tiny_llama)], ["tiny"])
    assert {report.views for report in reports} == {(View.up, View.down)}
    assert rows(tmp_path, "SELECT count(DISTINCT view) FROM label") == [(len(View),)]


def test_no_labels_are_taken_away_for_the_sake_of_early_ones(tiny_llama: Path, tmp_path: Path) -> None:
    MapRun(Settings(data=tmp_path)).map([str(tiny_llama)], ["tiny"])
    views: list[dict[str, list[View]]] = []
    again = replace(early(tmp_path, lambda _: views.append(views_of(tmp_path))), resume=False)
    again.map([str(tiny_llama)], ["tiny"])
    assert views == [{"tiny": list(View)}] * len(views) and len(views) == 3  # the plan, its one step, the building


def test_an_effect_of_some_views_is_not_kept_for_all(tiny_llama: Path, tmp_path: Path) -> None:
    MapRun(Settings(data=tmp_path), MapRecipe(views=(View.down,))).map([str(tiny_llama)], ["tiny"])
    Measurement(Settings(data=tmp_path)).measure("tiny")
    assert rows(tmp_path, "SELECT count(*) > 0 FROM effect") == [(True,)]
    MapRun(Settings(data=tmp_path)).map([str(tiny_llama)], ["tiny"])
    assert rows(tmp_path, "SELECT kind FROM measurement ORDER BY 1") == [("activity",), ("control",)]
    assert rows(tmp_path, "SELECT count(*) FROM effect") == [(0,)]


def test_the_first_view_comes_first_where_there_are_others(tiny_llama: Path, tmp_path: Path) -> None:
    gpt2 = open_checkpoint(str(make_checkpoint(tmp_path / "gpt2", "gpt2")))
    llama = open_checkpoint(str(tiny_llama))

    def planned(recipe: MapRecipe, early: bool = True, known: dict[str, list[View]] | None = None) -> list[list[View]]:
        found = plan_steps([("gpt2", gpt2), ("llama", llama)], recipe, early, known or {})
        assert [step.name for step in found][-1] == "llama"
        return [list(step.adds) for step in found]

    assert planned(MapRecipe()) == [[View.down], [View.up], list(View)]
    assert planned(MapRecipe(), early=False) == [[View.up, View.down], list(View)]
    assert planned(MapRecipe(), known={"gpt2": [View.down]}) == [[View.up], list(View)]
    assert planned(MapRecipe(views=(View.down,))) == [[View.down], [View.down]]
    assert planned(MapRecipe(views=(View.up,))) == [[View.up], [View.up]]


def test_the_command_tells_a_program_all_of_it(tiny_llama: Path, tmp_path: Path) -> None:
    command = ["map", str(tiny_llama), "--name", "tiny", "--publish-early", "--json", "--data", str(tmp_path)]
    plan, *lines = map(json.loads, CliRunner().invoke(main, command).output.splitlines())
    views = [["down"], ["up", "gate"]]
    assert plan == {"steps": [{"model": "tiny", "views": some} for some in views], "pair": None}
    mapped = [line for line in lines if "layers_done" in line]
    assert [(line["views"], line["layers_done"]) for line in mapped] == [
        (some, layer) for some in views for layer in range(1, LAYERS + 1)
    ]
    others = [next(iter(line.items())) for line in lines if "layers_done" not in line]
    assert [name for name, _ in others] == ["step", "building", "published"] * 2
    assert others[-1] == ("published", read_catalogue(tmp_path).run)


def test_the_command_tells_a_program_why_it_failed(tiny_llama: Path, tmp_path: Path) -> None:
    command = ["map", str(tiny_llama), "--layers", "9", "--publish-early", "--json", "--data", str(tmp_path)]
    ended = CliRunner().invoke(main, command)
    assert ended.exit_code == 1
    assert "Give --layers within them." in json.loads(ended.stdout)["failed"]
    assert ended.stderr.startswith("Error: ")
