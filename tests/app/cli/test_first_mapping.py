"""`neuronym serve --map` on a folder that has nothing: it serves at once, maps meanwhile, and goes on if cut off."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from app.cli.first_mapping import FirstMapping
from neuronym.contract import View
from neuronym.library import catalogue_file, read_catalogue
from neuronym.settings import ROOT, Settings
from tests.serving import PATIENCE, until
from worker.library.removal import remove
from worker.map_run import MapRun
from worker.mapping.recipe import MapRecipe


@contextmanager
def serving(data: Path, *options: str) -> Iterator[httpx2.Client]:
    """A client of `neuronym serve` with these options, on a data folder."""
    command = [sys.executable, "-m", "app.cli", "serve", "--port", "0", *options]
    settings = os.environ | {"NEURONYM_DATA": str(data)}
    with subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.fullmatch(r"Neuronym is at (http://127\.0\.0\.1:\d+)\n", process.stdout.readline())
            assert address
            with httpx2.Client(base_url=address[1], timeout=PATIENCE) as http:
                yield http
        finally:
            process.terminate()


def mapping(http: httpx2.Client) -> dict[str, object] | None:
    """What the app says is being mapped."""
    said: dict[str, object] | None = http.get("/healthz").json()["mapping"]
    return said


def test_it_is_due_until_it_has_come_to_its_end(tiny_llama: Path, tmp_path: Path) -> None:
    first = FirstMapping(tmp_path / "data", "demo")
    assert first.is_due and first.is_first
    first.begin()
    MapRun(Settings(data=first.data), MapRecipe(layers=range(1))).map([str(tiny_llama)], ["tiny"])
    assert first.is_due and not first.is_first
    first.end()
    assert not first.is_due
    remove(first.data, ["tiny"], with_pairs=False)
    assert not first.is_due  # somebody emptied the library on purpose
    catalogue_file(first.data).write_text("no catalogue")
    assert not first.is_due


def test_a_folder_that_cannot_be_written_is_left_to_the_mapping_to_tell(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    FirstMapping(tmp_path / "data", "demo").begin()


def test_it_serves_maps_loads_the_model_and_measures(tiny_llama: Path, tmp_path: Path) -> None:
    data = tmp_path / "a folder"
    asked = f"'{tiny_llama}' --name tiny --layers 0"
    with serving(data, "--map", asked, "--measure") as http:
        assert http.get("/").status_code == 503
        assert mapping(http) and http.get("/readyz").status_code == 503
        until(lambda: http.get("/api/v1/models").is_success)
        until(lambda: mapping(http) is None)
        (model,) = http.get("/api/v1/models").json()["models"]
        assert (model["name"], model["views"], model["mapped_layers"]) == ("tiny", list(View), [0, 0])
        until(lambda: http.get("/readyz").is_success)
        until(lambda: http.get("/api/v1/models/tiny").json()["measurements"]["effect"])
    assert not FirstMapping(data, asked).is_due


def test_one_that_was_cut_off_goes_on_and_what_there_was_is_served(tiny_llama: Path, tmp_path: Path) -> None:
    FirstMapping(tmp_path, "it").begin()
    MapRun(Settings(data=tmp_path), MapRecipe(views=(View.down,))).map([str(tiny_llama)], ["tiny"])
    with serving(tmp_path, "--map", f"{tiny_llama} --name tiny") as http:
        assert http.get("/api/v1/models").json()["models"][0]["views"] == ["down"]
        until(lambda: mapping(http) is None)
        assert http.get("/api/v1/models").json()["models"][0]["views"] == list(View)


def test_a_library_is_served_as_it_is(data_folder: Path, tiny_llama: Path) -> None:
    before = read_catalogue(data_folder)
    with serving(data_folder, "--map", str(tiny_llama)) as http:
        assert mapping(http) is None and http.get("/").status_code == 200
    assert read_catalogue(data_folder) == before
    assert not FirstMapping(data_folder, "").is_due


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("/no/such/model", "There is no folder or file"),
        ("demo --layers many", "it ended with code 2; the terminal of the server"),
    ],
)
def test_one_that_fails_is_told_and_tried_again_with_the_next_start(asked: str, why: str, tmp_path: Path) -> None:
    with serving(tmp_path, "--map", asked) as http:
        until(lambda: (mapping(http) or {})["state"] == "failed")
        page = http.get("/")
        assert page.status_code == 503 and f"The mapping stopped: {why}" in page.text
    assert FirstMapping(tmp_path, asked).is_due
