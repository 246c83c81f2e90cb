"""Mapping resumes: a run that is killed loses no row, doubles none, and leaves the old file served."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from neuronym.contract import View
from neuronym.library import read_catalogue
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, NEURONS, make_checkpoint
from tests.reading import rows
from worker.checkpoints.checkpoint import open_checkpoint
from worker.cli.group import main
from worker.errors import CheckpointError
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe, Progress


def labels(data: Path) -> list[tuple[object, ...]]:
    return rows(data, "SELECT * FROM label ORDER BY ALL")


class Cut(Exception):
    """The error with which tests interrupt a run."""


def test_a_cut_run_goes_on_where_it_was(tiny_llama: Path, data_folder: Path, tmp_path: Path) -> None:
    def cut_after_two(progress: Progress) -> None:
        if progress.layers_done == 2:
            raise Cut

    settings = Settings(data=tmp_path)
    with pytest.raises(Cut):
        MapRun(settings, report=cut_after_two).map([str(tiny_llama)], ["tiny"])
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("label-*.parquet")}
    assert len(done) == 2 * len(View)
    times_at_end = {}

    def look(progress: Progress) -> None:
        if progress.layers_done == LAYERS:
            times_at_end.update({path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("label-*.parquet")})

    MapRun(settings, report=look).map([str(tiny_llama)], ["tiny"])
    assert done.items() <= times_at_end.items()
    assert labels(tmp_path) == labels(data_folder)


def test_another_recipe_starts_anew(tiny_llama: Path, tmp_path: Path) -> None:
    def cut(_: Progress) -> None:
        raise Cut

    settings = Settings(data=tmp_path)
    with pytest.raises(Cut):
        MapRun(settings, MapRecipe(top_k=9), report=cut).map([str(tiny_llama)], ["tiny"])
    MapRun(settings, MapRecipe(top_k=8)).map([str(tiny_llama)], ["tiny"])
    assert rows(tmp_path, "SELECT DISTINCT len(top_ids) FROM label") == [(8,)]


def test_kill_at_random_points(tiny_llama: Path, data_folder: Path, tmp_path: Path) -> None:
    """kill -9 the real command again and again until one run gets through."""
    command = [sys.executable, "-m", "worker.cli", "map", str(tiny_llama), "--name", "tiny", "--data", str(tmp_path)]
    chance = random.Random(0)
    for _ in range(2):
        process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # the first layer is done: kill between here and publication
        time.sleep(chance.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    assert subprocess.run(command, check=False).returncode == 0
    assert labels(tmp_path) == labels(data_folder)
    assert not list(tmp_path.glob(".building-*"))


def test_progress_as_json_lines(tiny_llama: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["map", str(tiny_llama), "--name", "t", "--data", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["layers_done"] for line in lines[:-1]] == list(range(1, LAYERS + 1))
    assert lines[-2]["neurons_done"] == LAYERS * NEURONS
    assert read_catalogue(tmp_path).run == lines[-1]["published"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["gone/", "--views", "sideways"], "choose from up, gate, down"),
        (["gone/", "--lenses", ","], "choose from logit, cosine"),
        (["./gone"], "no folder or file"),
        (["./a", "./b", "--name", "one"], "2 models need 2 --name"),
    ],
)
def test_errors_are_sentences(arguments: list[str], words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["map", *arguments, "--data", str(tmp_path)])
    assert result.exit_code != 0
    assert words in result.output
    assert "Traceback" not in result.output


def test_an_ungated_model_has_no_gate_view(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(make_checkpoint(tmp_path / "gpt2", "gpt2")))
    assert MapRecipe().fitted_to(checkpoint).views == (View.up, View.down)
    with pytest.raises(CheckpointError, match="its views are up, down"):
        MapRecipe(views=(View.gate,)).fitted_to(checkpoint)


def test_chosen_views_and_lenses_only(tiny_llama: Path, tmp_path: Path) -> None:
    arguments = ["map", str(tiny_llama), "--views", "down", "--lenses", "cosine", "--data", str(tmp_path)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert rows(tmp_path, "SELECT DISTINCT view, lens FROM label") == [(2, 1)]
