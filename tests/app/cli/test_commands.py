"""The command line: the same answers as the API, aligned for people, and a doctor that names the mend."""

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

import app.cli.doctor
from app.cli.commands import main
from app.cli.tables import listing
from app.labelfile.library import Library
from app.main import create_app
from app.queries.search.search import SearchQuery, search
from neuronym.contract import Side, Strength
from neuronym.settings import Settings
from tests.app.label_files import Plan, planted_file, write_library
from tests.serving import served, until
from worker.checkpoints.checkpoint import open_checkpoint
from worker.serving.service import create_service


def run(data: Path, *arguments: str, **environment: str) -> Result:
    """Run a command on a data folder."""
    return CliRunner().invoke(main, arguments, env={"NEURONYM_DATA": str(data)} | environment)


def test_search_lists_neurons_in_aligned_columns(planted_data: Path) -> None:
    result = run(planted_data, "search", "California")
    head, *rows, count = result.output.splitlines()
    assert result.exit_code == 0
    assert head.split() == ["neuron", "model", "view", "token", "z", "score", "strength", "effect", "named"]
    assert rows[0].split()[:6] == ["L2N1", "tiny-chat", "up", "'", "California'", "9.0"]
    column = head.index("z ")
    assert all(row[column - 1] == " " and row[column].isdigit() for row in rows)
    assert count == "1 to 6 of 6, cosine lens"


def test_search_as_json_is_the_answer_of_the_api(planted_data: Path, client: TestClient) -> None:
    filters = {"view": "up", "limit": "2", "min_z": "1.5", "layer_min": "1", "pair": "tiny-pair", "sort": "layer_z"}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in filters.items()]
    answer = json.loads(run(planted_data, "search", "--json", *options, "California").output)
    assert answer == client.get("/api/v1/search", params={"q": "California", **filters}).json()
    assert answer["total"] == 2


def test_a_terminal_lists_trusted_labels_first_and_a_program_gets_the_order_of_the_api(planted_data: Path) -> None:
    def models(*options: str) -> list[str]:
        rows = run(planted_data, "search", *options, "California").output.splitlines()[1:-1]
        return [" ".join(row.split()[:2]) for row in rows]

    assert models("--limit=2") == ["L2N1 tiny-chat", "L0N0 tiny-chat"]  # strong, weak
    assert models("--limit=2", "--sort=z") == ["L2N1 tiny-chat", "L0N2 tiny-gpt"]
    assert json.loads(run(planted_data, "search", "--json", "California").output)["query"]["sort"] == "z"


@pytest.mark.parametrize(
    "side, effect, sentence",
    [
        (Side.top, 0.25, "+0.250 holds"),
        (Side.top, -0.25, "-0.250 reversed"),
        (Side.bottom, -0.25, "-0.250 holds"),
        (Side.bottom, 0.25, "+0.250 reversed"),
        (Side.top, 0.0, "+0.000"),
    ],
)
def test_a_terminal_says_of_each_end_whether_it_holds(
    labels: Library, side: Side, effect: float, sentence: str
) -> None:
    answer = search(labels, SearchQuery(q="California", model="tiny-chat", limit=1))
    result = answer.results[0].model_copy(update={"side": side, "effect": effect, "strength": Strength.weak})
    row = list(listing(answer.model_copy(update={"results": [result]})))[1]
    assert row.partition("weak")[2].partition("'")[0].strip() == sentence


def test_a_terminal_says_whether_a_label_holds(planted_data: Path) -> None:
    output = run(planted_data, "search", "California", "--view=down", "--model=tiny-chat").output
    assert "weak      +2.500 holds" in output and "-0.500 reversed" in output
    bottom = run(planted_data, "search", "dog", "--side=bottom").output.splitlines()[1]
    assert "L1N1" in bottom and "'dog' ' California' " in bottom  # the tokens of that end


def test_words_are_one_text(planted_data: Path) -> None:
    output = run(planted_data, "search", "New", "York").output
    assert "Pieces: 'New' ' York'" in output
    assert "“New York” is no single token" in output


def test_a_neurons_name_and_no_neuron(planted_data: Path) -> None:
    assert "L2N1 in tiny-chat" in run(planted_data, "search", "l2n1").output
    assert "No neuron that fits is named after 'Straße'" in run(planted_data, "search", "Straße").output


def test_no_token_reaches_the_terminal_raw(tmp_path: Path) -> None:
    from neuronym.contract import Lens, View

    hostile = {("tiny-chat", View.up, Lens.cosine, 0, 0): [("\x07", 9.0), ("\u202e", 8.0), ("\n", 7.0)]}
    write_library(tmp_path, Plan(top=hostile))
    output = run(tmp_path, "search", '"\x07"').output
    assert r"'\x07' '\u202e' '\n'" in output
    assert not set(output) & {"\x07", "\u202e"}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["search", "dog", "--model", "nope"], 1, "Mapped models: tiny-base, tiny-chat, tiny-second, tiny-gpt."),
        (["search", "dog", "--limit", "0"], 2, "limit should be greater than or equal to 1, not '0'."),
        (["search", "dog", "--view", "side"], 2, "view should be 'any', 'up', 'gate' or 'down', not 'side'."),
        (["search"], 2, "Missing argument"),
        (["serch"], 2, "No such command"),
    ],
)
def test_a_mistake_is_one_sentence(planted_data: Path, arguments: list[str], code: int, sentence: str) -> None:
    result = run(planted_data, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert sentence in result.stderr


def test_nothing_mapped_names_the_commands(tmp_path: Path) -> None:
    result = run(tmp_path, "search", "dog")
    assert (result.exit_code, "make map" in result.stderr) == (1, True)


def test_the_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == "neuronym, version 0.1.0\n"


def checks(result: Result) -> dict[str, dict[str, Any]]:
    """A doctor's report by name."""
    report = json.loads(result.output)
    assert report["ok"] == all(check["state"] != "wrong" for check in report["checks"])
    assert result.exit_code == (0 if report["ok"] else 1)
    return {check["name"]: check for check in report["checks"]}


def test_the_doctor_finds_nothing_wrong(planted_data: Path) -> None:
    report = checks(run(planted_data, "doctor", "--json", NEURONYM_PORT="9"))
    assert {name: check["state"] for name, check in report.items()} == {
        "app": "ok",
        "worker parts": "ok",
        "pages": "ok",
        "library": "ok",
        "disk": "ok",
        "worker": "note",
    }
    assert "tiny-chat (3 x 4 neurons)" in report["library"]["says"]
    assert "neuronym serve" in report["worker"]["says"]


def test_the_doctor_as_text_has_a_line_each(planted_data: Path) -> None:
    result = run(planted_data, "doctor", NEURONYM_PORT="9")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == ["ok"] * 5 + ["note"]


def test_the_doctor_names_the_mend_for_a_label_file(tmp_path: Path) -> None:
    report = checks(run(tmp_path / "not" / "there", "doctor", "--json", NEURONYM_PORT="9"))
    assert report["library"]["state"] == "wrong"
    assert "make map" in report["library"]["says"]
    assert not (tmp_path / "not").exists()  # it looks, and changes nothing
    write_library(tmp_path, Plan(revision="0000"))
    assert "schema revision 0000" in checks(run(tmp_path, "doctor", "--json", NEURONYM_PORT="9"))["library"]["says"]


def test_the_doctor_names_the_file_that_cannot_be_read(tmp_path: Path) -> None:
    write_library(tmp_path)
    planted_file(tmp_path, "tiny-gpt").write_bytes(b"no database at all" * 1000)
    report = checks(run(tmp_path, "doctor", "--json", NEURONYM_PORT="9"))
    assert report["library"]["state"] == "wrong"
    assert report["library"]["says"].startswith("The model tiny-gpt cannot be read: ")


def test_the_doctor_asks_the_worker_that_is_named(planted_data: Path) -> None:
    report = checks(run(planted_data, "doctor", "--json", NEURONYM_WORKER_URL="http://127.0.0.1:9"))
    assert report["worker"]["state"] == "wrong"
    assert "neuronym-worker serve" in report["worker"]["says"]


def test_the_doctor_asks_the_app_that_runs(planted_data: Path) -> None:
    with served(create_app(Settings(data=planted_data))) as address:
        port = str(httpx2.URL(address).port)
        report = checks(run(planted_data, "doctor", "--json", NEURONYM_PORT=port))
    assert report["worker"]["state"] == "wrong"
    assert "There is no worker" in report["worker"]["says"]


def test_the_doctor_says_what_the_named_worker_does(planted_data: Path, tiny_llama: Path) -> None:
    service = create_service(Settings(), {"tiny": partial(open_checkpoint, str(tiny_llama))})
    with served(service) as address:
        until(lambda: httpx2.get(f"{address}/readyz").is_success)
        report = checks(run(planted_data, "doctor", "--json", NEURONYM_WORKER_URL=address))
    assert report["worker"]["state"] == "ok"
    assert "tiny ready; 0 running, 0 waiting" in report["worker"]["says"]


def test_the_doctor_finds_something_else_on_the_port(planted_data: Path) -> None:
    with served(PlainTextResponse("hello", 404)) as address:
        port = str(httpx2.URL(address).port)
        report = checks(run(planted_data, "doctor", "--json", NEURONYM_PORT=port))
    assert report["worker"]["state"] == "wrong"
    assert "something else listens" in report["worker"]["says"]


@pytest.mark.parametrize(
    ("name", "value", "line", "sentence"),
    [
        ("ROOM", 10**18, "disk", "NEURONYM_DATA"),
        ("HTMX", Path("/nowhere"), "pages", "make setup"),
        ("find_spec", lambda _: None, "worker parts", "torch and transformers not installed"),
    ],
)
def test_the_doctor_names_what_is_missing(
    planted_data: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, line: str, sentence: str
) -> None:
    monkeypatch.setattr(app.cli.doctor, name, value)
    report = checks(run(planted_data, "doctor", "--json", NEURONYM_PORT="9"))
    assert report[line]["state"] == "wrong"
    assert sentence in report[line]["says"]


@pytest.mark.skipif(os.name != "posix", reason="a console script")
def test_the_console_script_is_this_command() -> None:
    from importlib.metadata import entry_points

    (script,) = (point for point in entry_points(group="console_scripts") if point.name == "neuronym")
    assert script.load() is main
