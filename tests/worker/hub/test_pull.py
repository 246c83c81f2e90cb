"""`pull`: what a repository holds comes in as it left, in one go or several, or is refused and nothing changes."""

import errno
import fcntl
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fastapi.testclient import TestClient
from huggingface_hub import constants

from app.main import create_app
from neuronym.library import read_catalogue
from neuronym.settings import Settings
from tests.local_hub import Dataset, Hub, served_hub, use_hub
from tests.worker.hub.conftest import OWNER, READER
from tests.worker.library.exported_files import change, command, current, on_disk, rows
from worker.hub import progress
from worker.hub.progress import Transfer

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
PAIR, ONE = "olga/pair", "olga/one"


@pytest.fixture(scope="package")
def pushed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of two repositories that `push` has filled: of the pair, and of the model `chat`."""
    with pytest.MonkeyPatch.context() as patch, served_hub() as hub:
        use_hub(hub, patch, tmp_path_factory.mktemp("hf-home"))
        patch.setenv("HF_TOKEN", OWNER)
        hub.models = {f"org/{name}": {"cardData": {"license": "mit"}} for name in ("base", "chat")}
        for name, to in (("both", PAIR), ("chat", ONE)):
            assert command(library, "push", name, "--to", to).exit_code == 0
        return {name: dataset.commits[dataset.head] for name, dataset in hub.datasets.items()}


@pytest.fixture
def filled(hub: Hub, pushed: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub with both, open to whom is not logged in."""
    for name, files in pushed.items():
        hub.datasets[name] = Dataset()
        hub.datasets[name].commit(files)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return hub


def hashes(hub: Hub, name: str) -> list[str]:
    """The sha256 of the label files of a repository."""
    files = hub.datasets[name].commits[hub.datasets[name].head]
    return [hashlib.sha256(content).hexdigest() for file, content in files.items() if file.endswith(".duckdb")]


def edit_card(hub: Hub, name: str, before: str, after: str) -> None:
    """Change the card, as the owner of the repository could."""
    files = hub.datasets[name].commits[hub.datasets[name].head]
    card = files["README.md"].decode()
    assert before in card
    hub.datasets[name].commit({"README.md": card.replace(before, after).encode()})


def assert_refused(result: Result, sentence: str) -> None:
    assert result.exit_code == 1 and sentence in result.output, result.output
    assert result.output.splitlines()[-1].startswith("Error: ") and result.output.count("\nError") <= 1
    assert "127.0.0.1" not in result.output and "localhost" not in result.output


def search(data: Path) -> Any:
    """What a search answers, but for the id of the library."""
    with TestClient(create_app(Settings(data=data))) as client:
        answer = client.get("/api/v1/search", params={"q": "dog", "limit": 50}).json()
    return {name: value for name, value in answer.items() if name != "run"}


# --- what comes in -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_a_pair_comes_in_as_it_left(library: Path, tmp_path: Path) -> None:
    pulled = command(tmp_path, "pull", PAIR)
    assert pulled.exit_code == 0, pulled.output
    assert "both: pair of base and chat." in pulled.output and "outdated" not in pulled.output
    for name in ("base", "chat", "both"):
        left, came = current(library, name), current(tmp_path, name)
        for (table,) in rows(left, "SELECT table_name FROM duckdb_tables()"):
            if table in ("model", "build", "measurement"):
                continue
            assert rows(came, f"FROM {table} ORDER BY ALL") == rows(left, f"FROM {table} ORDER BY ALL"), table
        facts = "SELECT * EXCLUDE settings FROM model"
        assert rows(came, facts) == rows(left, facts)
    answer = search(tmp_path)
    assert answer["results"] and answer == search(library)
    assert {path.name for path in tmp_path.iterdir()} == {"library"}


def test_what_was_pulled_says_where_it_came_from(filled: Hub, tmp_path: Path) -> None:
    commit = filled.datasets[ONE].head
    assert command(tmp_path, "pull", ONE, "--name", "Theirs").exit_code == 0
    ((settings,),) = rows(current(tmp_path, "theirs"), "SELECT settings FROM model")
    origin = json.loads(settings)["added"]
    assert {"repository": ONE, "commit": commit, "file": "chat.duckdb"}.items() <= origin.items() and origin["at"]
    assert "from org/chat, pulled from olga/one" in command(tmp_path, "list").output
    listed = json.loads(command(tmp_path, "list", "--json").output)["models"][0]
    assert listed["settings"]["added"] == origin
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        page = client.get("/models/theirs").text
        assert client.get("/api/v1/models/theirs").json()["settings"]["added"] == origin
    assert f"<code>{ONE}</code>" in page and f"<code>{commit}</code>" in page


def test_a_revision_and_one_of_several_files(filled: Hub, tmp_path: Path) -> None:
    first = filled.datasets[ONE].head
    filled.datasets[ONE].commit({"chat.duckdb": b"nothing"})
    assert command(tmp_path, "pull", ONE, "--revision", first).exit_code == 0
    assert command(tmp_path, "pull", PAIR, "--file", "chat.duckdb", "--name", "two").exit_code == 0
    assert [entry.name for entry in read_catalogue(tmp_path).models] == ["chat", "two"]


def test_a_file_that_git_keeps_and_no_card_speaks_of(filled: Hub, tmp_path: Path) -> None:
    """Small files have no sha256 on the hub, but git's hash."""
    filled.in_git = True
    edit_card(filled, ONE, "neuronym:", "other:")
    assert command(tmp_path, "pull", ONE).exit_code == 0
    filled.change_byte = 5
    assert_refused(command(tmp_path, "pull", ONE, "--name", "two"), "has not the hash that the hub states")


@pytest.mark.usefixtures("filled")
def test_progress_is_told_to_programs(tmp_path: Path) -> None:
    told = [json.loads(line) for line in command(tmp_path, "pull", ONE, "--json").output.splitlines()]
    size = told[0]["bytes"]
    assert told[-2] == {"file": "chat.duckdb", "bytes_done": size, "bytes": size} and len(told) > 5
    assert told[-1] == {"published": read_catalogue(tmp_path).run}


# --- connections that break --------------------------------------------------------------------------------------


def test_a_connection_that_breaks_is_made_again(filled: Hub, tmp_path: Path) -> None:
    filled.break_after = [500_000, 0, 700_000, 0, 0]
    assert command(tmp_path, "pull", ONE).exit_code == 0
    size = len(filled.datasets[ONE].commits[filled.datasets[ONE].head]["chat.duckdb"])
    assert filled.sent == size and not filled.break_after  # no byte twice


def test_a_pull_that_was_cut_off_goes_on(filled: Hub, tmp_path: Path) -> None:
    before = on_disk(tmp_path)
    filled.break_after = [1_000_000, *[0] * 10]
    assert_refused(command(tmp_path, "pull", ONE), "The connection to the hub was lost.")
    size = len(filled.datasets[ONE].commits[filled.datasets[ONE].head]["chat.duckdb"])
    assert filled.sent == 1_000_000 and not (tmp_path / "library").exists()
    assert {name for name in on_disk(tmp_path) if name.endswith(".part")} - before.keys()
    filled.break_after, filled.sent = [], 0
    assert command(tmp_path, "pull", ONE).exit_code == 0
    assert filled.sent == size - 1_000_000
    assert not (tmp_path / ".pulling").exists()


def test_what_is_whole_is_not_pulled_twice(filled: Hub, tmp_path: Path) -> None:
    """The second file of three is cut off; of the first nothing is asked any more."""
    files = filled.datasets[PAIR].commits[filled.datasets[PAIR].head]
    filled.break_after = [len(files["base.duckdb"]), 1000, *[0] * 10]
    assert_refused(command(tmp_path, "pull", PAIR), "The connection to the hub was lost.")
    assert not (tmp_path / "library").exists()
    filled.break_after, filled.sent = [], 0
    assert command(tmp_path, "pull", PAIR, "--file", "base.duckdb").exit_code == 0
    assert filled.sent == 0


def test_no_more_is_taken_than_the_hub_states(filled: Hub, tmp_path: Path) -> None:
    filled.stated_size = 1_000_000
    edit_card(filled, ONE, "neuronym:", "other:")
    refused = command(tmp_path, "pull", ONE, "--json")
    assert_refused(refused, "has not the hash that the hub states")
    told = [json.loads(line) for line in refused.output.splitlines()[:-1]]
    assert max(one["bytes_done"] for one in told) == 1_000_000


def test_a_disk_that_fills_up_is_said_and_gone_on_from(
    filled: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(transfer: Transfer) -> None:
        if transfer.bytes_done > 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(progress, "reporter", lambda _: report)
        assert_refused(command(tmp_path, "pull", ONE), "cannot be written (No space left on device). Free some space")
    filled.sent = 0
    assert command(tmp_path, "pull", ONE).exit_code == 0
    assert filled.sent < len(filled.datasets[ONE].commits[filled.datasets[ONE].head]["chat.duckdb"])


def test_a_changed_byte_is_noticed_and_pulled_anew(filled: Hub, tmp_path: Path) -> None:
    filled.change_byte = 1_234_567
    assert_refused(command(tmp_path, "pull", ONE), "chat.duckdb of olga/one has not the hash that the hub states")
    assert not (tmp_path / "library").exists() and not list(tmp_path.rglob("*.duckdb*"))
    filled.change_byte = None
    assert command(tmp_path, "pull", ONE).exit_code == 0


def test_a_token_goes_to_the_hub_and_nowhere_else(filled: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.datasets[ONE].private = True
    assert_refused(command(tmp_path, "pull", ONE), "The hub has no dataset olga/one, or it is private.")
    monkeypatch.setenv("HF_TOKEN", READER)
    assert_refused(command(tmp_path, "pull", ONE), "The hub has no dataset olga/one, or it is private.")
    monkeypatch.setenv("HF_TOKEN", OWNER)
    pulled = command(tmp_path, "pull", ONE)
    assert pulled.exit_code == 0 and OWNER not in pulled.output
    assert filled.secrets_to_storage == 0


# --- what does not -----------------------------------------------------------------------------------------------


def test_what_the_card_says_is_held_against_what_the_hub_has(filled: Hub, tmp_path: Path) -> None:
    filled.datasets[ONE].commit({"chat.duckdb": b"another file"})
    assert_refused(command(tmp_path, "pull", ONE), "chat.duckdb of olga/one has another hash than its card states.")
    edit_card(filled, PAIR, "schema_revision: '", "schema_revision: '9")
    assert_refused(command(tmp_path, "pull", PAIR), "Install a newer version of Neuronym.")
    edit_card(filled, PAIR, "schema_revision: '9", "schema_revision: '#")
    assert_refused(command(tmp_path, "pull", PAIR), "Ask its owner to push it anew.")
    assert filled.sent == 0 and not list(tmp_path.rglob("*.duckdb*"))


def test_a_card_that_the_client_trips_over_is_said(filled: Hub, tmp_path: Path) -> None:
    edit_card(filled, ONE, "neuronym:", "ignore_metadata_errors: true\nneuronym:")
    assert_refused(command(tmp_path, "pull", ONE), "The hub's answer is not understood.")


def test_a_file_of_another_schema_is_refused_by_itself(filled: Hub, tmp_path: Path) -> None:
    content = filled.datasets[ONE].commits[filled.datasets[ONE].head]["chat.duckdb"]
    (tmp_path / "chat.duckdb").write_bytes(content)
    change(tmp_path / "chat.duckdb", "UPDATE alembic_version SET version_num = '9999'")
    filled.datasets["olga/newer"] = Dataset()
    filled.datasets["olga/newer"].commit({"chat.duckdb": (tmp_path / "chat.duckdb").read_bytes()})
    data = tmp_path / "data"
    assert_refused(command(data, "pull", "olga/newer"), "it is of revision '9999' where this version reads")
    assert on_disk(data) == {}


@pytest.mark.parametrize(
    ("files", "arguments", "sentence"),
    [
        ([], [], "olga/other has no label file. Ask for one that `neuronym-worker push` has filled."),
        (["notes.txt", "deep/a.duckdb", "..duckdb"], [], "olga/other has no label file."),
        (["a.duckdb", "b.duckdb"], [], "has several label files, and no card to say which. Give --file: a.duckdb, b."),
        (["a.duckdb"], ["--file", "c.duckdb"], "olga/other has no label file 'c.duckdb'. It has: a.duckdb."),
        (["a.duckdb"], ["--revision", "v9"], "olga/other has no revision 'v9'. Check --revision."),
        (["a.duckdb"], [], "could not be built or read"),
    ],
)
def test_what_cannot_be_chosen_is_said(
    filled: Hub, tmp_path: Path, files: list[str], arguments: list[str], sentence: str
) -> None:
    filled.datasets["olga/other"] = Dataset()
    filled.datasets["olga/other"].commit(dict.fromkeys(files, b"x" * 10))
    assert_refused(command(tmp_path, "pull", "olga/other", *arguments), sentence)
    assert read_catalogue(tmp_path).models == ()


def test_what_is_not_possible_is_said(filled: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(command(tmp_path, "pull", "nonsense"), "'nonsense' is no repository of a hub.")
    assert_refused(command(tmp_path, "pull", "olga/none"), "The hub has no dataset olga/none, or it is private.")
    assert_refused(
        command(tmp_path, "pull", PAIR, "--name", "x"), "olga/pair has 3 label files, and --name is for one."
    )
    filled.datasets[ONE].gated = True
    assert_refused(command(tmp_path, "pull", ONE), "olga/one is gated: ask for access on its hub page, then log in.")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        assert_refused(command(tmp_path, "pull", PAIR), "has 0.0 GB free, and 0.0 GB are to come. Free some space")
    part = tmp_path / ".pulling" / hashes(filled, PAIR)[0] / "base.duckdb.part"
    assert not part.parent.exists()  # nothing had come
    part.parent.mkdir(parents=True)
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert_refused(command(tmp_path, "pull", PAIR, "--file", "base.duckdb"), "Another run downloads base.duckdb.")
    filled.refuse = {"/resolve/": 403}
    assert_refused(command(tmp_path, "pull", PAIR), "You may not read olga/pair")
    filled.refuse = {"/resolve/": 500}
    assert_refused(command(tmp_path, "pull", PAIR), "The hub has no time for this now (status 500).")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_refused(command(tmp_path, "pull", PAIR), "HF_HUB_OFFLINE keeps this machine off the hub. Unset it.")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert_refused(command(tmp_path, "pull", PAIR), "The connection to the hub was lost.")
    assert not (tmp_path / "library").exists()
