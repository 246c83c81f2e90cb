"""`list` and `remove`: what the library holds, and what may be taken out of it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from neuronym.contract import View
from neuronym.library import read_catalogue
from neuronym.settings import Settings
from tests.checkpoints import make_checkpoint
from worker.cli.group import main
from worker.library.holds import hold
from worker.map_run import MapRun
from worker.mapping.recipe import MapRecipe

QUICK = MapRecipe(views=(View.up,), layers=range(1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A pair and a model alone, of one layer each."""
    first, second = make_checkpoint(tmp_path / "a"), make_checkpoint(tmp_path / "b", seed=1)
    MapRun(Settings(data=tmp_path / "data"), QUICK).map_pair(str(first), str(second), ["base", "chat"], "both")
    MapRun(Settings(data=tmp_path / "data"), QUICK).map([str(make_checkpoint(tmp_path / "c", "gpt2"))], ["lone"])
    return tmp_path / "data"


def command(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--data", str(data)])


def names(data: Path) -> list[str]:
    library = read_catalogue(data)
    return [entry.name for entry in (*library.models, *library.pairs)]


def test_all_is_listed(data: Path, tmp_path: Path) -> None:
    lines = command(data, "list").output.splitlines()
    assert lines[0].startswith("chat: layer 0, nothing measured, ") and lines[0].endswith(f"from {tmp_path / 'b'}")
    assert [line.split(":")[0] for line in lines] == ["chat", "base", "lone", "both"]
    MapRun(Settings(data=data), QUICK, resume=False).map([str(tmp_path / "a")], ["base"])
    assert "pair of base and chat, made before base was mapped again, " in command(data, "list").output
    listed = json.loads(command(data, "list", "--json").output)
    assert listed["run"] == read_catalogue(data).run
    assert listed["pairs"][0]["outdated"] == ["base"]
    assert listed["models"][0]["bytes"] == next((data / "library/models/chat").iterdir()).stat().st_size
    assert "No model is mapped yet" in command(tmp_path / "empty", "list").output


def test_what_a_pair_is_made_of_stays_unless_told(data: Path) -> None:
    refused = command(data, "remove", "lone", "chat")
    assert refused.exit_code == 1 and "The pair 'both' is made of chat." in refused.output
    assert names(data) == ["chat", "base", "lone", "both"]
    assert command(data, "remove", "chat", "--with-pairs").output == "Removed chat, both.\n"
    assert names(data) == ["base", "lone"]
    assert {path.name for path in (data / "library/models").iterdir()} == {"base", "lone"}
    assert not list((data / "library/pairs").iterdir())


def test_a_pair_goes_alone_and_then_its_models(data: Path) -> None:
    assert command(data, "remove", "both").exit_code == 0
    assert command(data, "remove", "base", "chat", "lone").exit_code == 0
    assert names(data) == [] and not list((data / "library").rglob("*.duckdb"))


def test_what_is_not_there_or_worked_on_is_not_removed(data: Path) -> None:
    refused = command(data, "remove", "nope", "lone")
    assert "There is no 'nope' in the library. There is: chat, base, lone, both." in refused.output
    with hold(data, {"model": ["lone"]}):
        assert "Another run works on the model 'lone'" in command(data, "remove", "lone").output
    assert "lone" in names(data)
