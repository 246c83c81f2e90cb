"""The library: what one run publishes touches its own files alone, in one step, whenever it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neuronym.contract import View
from neuronym.library import label_file, read_catalogue
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, make_checkpoint
from tests.reading import rows
from worker.errors import LabelFileError
from worker.library.holds import hold
from worker.map_run import MapRun
from worker.mapping.mapping import Progress
from worker.mapping.recipe import MapRecipe

QUICK = MapRecipe(views=(View.up,), layers=range(1))


def files(data: Path) -> dict[str, tuple[int, int]]:
    """The label files on disk, with what changes when one is written or read."""
    found = (data / "library").rglob("*.duckdb")
    return {path.relative_to(data).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def current(data: Path) -> set[str]:
    """The label files that the catalogue names."""
    library = read_catalogue(data)
    paths = {label_file(data, kind, entry) for kind in ("model", "pair") for entry in library.entries(kind)}
    return {path.relative_to(data).as_posix() for path in paths}


def test_a_model_has_a_file_and_nothing_lies_beside_it(data_folder: Path) -> None:
    assert {path.name for path in data_folder.iterdir()} == {".mapping", "library"}
    assert not list((data_folder / ".mapping").iterdir())
    assert set(files(data_folder)) == current(data_folder) and len(current(data_folder)) == 1


def test_adding_and_renewing_touch_no_other_file(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = make_checkpoint(tmp_path / "a"), make_checkpoint(tmp_path / "b", seed=1)
    MapRun(Settings(data=data), QUICK).map_pair(str(first), str(second), ["first", "second"], "both")
    before = files(data)
    MapRun(Settings(data=data), QUICK).map([str(make_checkpoint(tmp_path / "c", "gpt2"))], ["third"])
    added = files(data)
    assert before.items() <= added.items() and len(added) == 4
    MapRun(Settings(data=data), QUICK, resume=False).map([str(first)], ["first"])
    renewed = files(data)
    assert len(renewed) == 4 and len(added.items() & renewed.items()) == 3  # the one before is deleted
    assert set(renewed) == current(data)
    assert [entry.name for entry in read_catalogue(data).models] == ["second", "first", "third"]


def test_a_renewed_model_leaves_its_pair_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = make_checkpoint(tmp_path / "a"), make_checkpoint(tmp_path / "b", seed=1)
    MapRun(Settings(data=data), QUICK).map_pair(str(first), str(second), ["first", "second"], "both")
    compared = rows(data, "SELECT base_mapped_in, instruct_mapped_in FROM pair")
    made = dict(rows(data, "SELECT name, mapped_in FROM model"))
    assert compared == [(made["first"], made["second"])]
    drift = rows(data, "FROM drift")
    MapRun(Settings(data=data), QUICK, resume=False).map([str(first)], ["first"])
    assert rows(data, "SELECT base_mapped_in, instruct_mapped_in FROM pair") == compared
    assert rows(data, "FROM drift") == drift
    assert dict(rows(data, "SELECT name, mapped_in FROM model"))["first"] != made["first"]


def test_what_is_mapped_under_the_recipe_is_not_mapped_again(tmp_path: Path) -> None:
    """A base with several tuned models is mapped once, and its pairs stay up to date."""
    data, told = tmp_path / "data", list[str]()
    base, first, second = (make_checkpoint(tmp_path / name, seed=seed) for seed, name in enumerate("abc"))
    MapRun(Settings(data=data), QUICK).map_pair(str(base), str(first), ["base", "first"])
    before = files(data)
    MapRun(Settings(data=data), QUICK, tell=told.append).map_pair(str(base), str(second), ["base", "second"])
    assert before.items() <= files(data).items()
    assert "base is mapped already. --fresh maps it again." in told and len(told) == 2
    run = read_catalogue(data).run
    assert MapRun(Settings(data=data), QUICK).map([str(base)], ["base"]) == run == read_catalogue(data).run
    for other in (MapRecipe(views=(View.up,), layers=range(2)), MapRecipe(views=(View.up,), layers=range(2), top_k=6)):
        MapRun(Settings(data=data), other).map([str(base)], ["base"])
        assert before.items() - files(data).items()
        before = files(data)


def test_a_second_run_on_a_model_is_refused_at_once_by_name(tmp_path: Path) -> None:
    """Other weights or another recipe: their rows could stand under the source of the first."""
    settings, refusals = Settings(data=tmp_path / "data"), []
    first, second = make_checkpoint(tmp_path / "a"), make_checkpoint(tmp_path / "b", seed=1)

    def begin_another(_: Progress) -> None:
        for attempt in (MapRun(settings, MapRecipe(top_k=7)), MapRun(settings)):
            with pytest.raises(LabelFileError) as refused:
                attempt.map([str(second)], ["model"])
            refusals.append(str(refused.value))

    run = MapRun(settings, MapRecipe(top_k=5), report=begin_another).map([str(first)], ["model"])
    assert refusals and set(refusals) == {
        f"Another run works on the model 'model' (process {os.getpid()}). Run this again when it is done, or give "
        "another name."
    }
    assert read_catalogue(settings.data).run == run
    assert rows(settings.data, "SELECT DISTINCT source, len(top_ids) FROM label, model") == [(str(first), 5)]


def test_another_model_can_be_mapped_meanwhile(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    first, second = make_checkpoint(tmp_path / "a"), make_checkpoint(tmp_path / "b", seed=1)

    def map_the_other(progress: Progress) -> None:
        if progress.layers_done == 1:
            MapRun(settings, QUICK).map([str(second)], ["second"])

    MapRun(settings, report=map_the_other).map([str(first)], ["first"])
    assert [entry.name for entry in read_catalogue(settings.data).models] == ["second", "first"]


def test_a_hold_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from worker.library.holds import hold\n"
        "with hold(Path(sys.argv[1]), {'model': ['tiny']}): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(LabelFileError, match=f"process {holder.pid}"), hold(tmp_path, {"model": ["tiny"]}):
            pass
        holder.kill()
        holder.wait()
    with hold(tmp_path, {"model": ["tiny"]}):
        pass


@pytest.mark.parametrize("moment", ["build", "catalogue", "sweep"])
def test_killed_at_any_moment_the_library_opens(tiny_llama: Path, tmp_path: Path, moment: str) -> None:
    """What was current stays so until the catalogue is replaced; what lies about is gone after the next run."""
    data = tmp_path / "data"
    MapRun(Settings(data=data), QUICK).map([str(tiny_llama)], ["tiny"])
    before = read_catalogue(data)
    code = f"""
import os, signal, sys
from pathlib import Path
from neuronym.settings import Settings
from worker.labelfile import model_file
from worker.library import current, publish
from worker.map_run import MapRun
from worker.mapping.recipe import MapRecipe
def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
module, name = {{"build": (model_file, "check_complete"), "catalogue": (current, "replace_catalogue"),
                "sweep": (current, "_sweep")}}["{moment}"]
setattr(module, name, kill)
MapRun(Settings(data=Path(sys.argv[1])), MapRecipe(top_k=6, layers=range(2))).map([sys.argv[2]], ["tiny"])
"""
    ended = subprocess.run([sys.executable, "-c", code, str(data), str(tiny_llama)], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (read_catalogue(data) == before) is (moment != "sweep")
    assert rows(data, "SELECT count(DISTINCT layer) FROM label") == [(2 if moment == "sweep" else 1,)]
    assert set(files(data)) > current(data) or moment == "build"
    MapRun(Settings(data=data), MapRecipe(top_k=6, layers=range(2)), resume=False).map([str(tiny_llama)], ["tiny"])
    assert set(files(data)) == current(data)
    assert not list(data.rglob(".building-*"))


def test_killed_while_mapping_and_gone_on_with(tiny_llama: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "worker.cli", "map", str(tiny_llama), "--name", "tiny", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(data.rglob("label-up-0000.parquet")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not read_catalogue(data).models or rows(data, "SELECT count(DISTINCT layer) FROM label") == [(LAYERS,)]
    MapRun(Settings(data=data)).map([str(tiny_llama)], ["tiny"])
    assert rows(data, "SELECT count(DISTINCT layer) FROM label") == [(LAYERS,)]
