"""`push`: what a repository holds afterwards, who may see it, and what is refused."""

import fcntl
import getpass
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from huggingface_hub import constants

from neuronym.label_tables import REVISION
from neuronym.settings import Settings
from tests.local_hub import Dataset, Hub
from tests.worker.hub.conftest import COMMITS, OWNER, READER
from tests.worker.library.exported_files import change, command, current, on_disk, rows
from worker.errors import LabelFileError
from worker.hub import push
from worker.hub.card import write_card
from worker.hub.exports import export
from worker.hub.facts import read_contents
from worker.hub.repository import CardRecord

# huggingface_hub sends a file by a parameter that its HTTP client would like to be another.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
HERE = "olga/labels"


def header(hub: Hub, name: str = HERE) -> dict[str, object]:
    """What the card's header says."""
    card = yaml.safe_load(files(hub, name)["README.md"].decode().split("---\n")[1])
    assert isinstance(card, dict)
    return card


def files(hub: Hub, name: str = HERE) -> dict[str, bytes]:
    """The files of the newest commit."""
    dataset = hub.datasets[name]
    return dataset.commits[dataset.head]


def assert_refused(result: Result, sentence: str) -> None:
    assert result.exit_code == 1 and sentence in result.output, result.output
    assert result.output.splitlines()[-1].startswith("Error: ") and result.output.count("\nError") <= 1
    assert OWNER not in result.output and "127.0.0.1" not in result.output


def test_a_model_is_pushed_privately_with_a_card_that_tells_of_it(hub: Hub, library: Path, tmp_path: Path) -> None:
    before = on_disk(library)
    pushed = command(library, "push", "chat", "--message", "For you")
    assert pushed.exit_code == 0, pushed.output
    assert "chat.duckdb, README.md pushed to olga/neuronym-chat" in pushed.output
    assert hub.datasets["olga/neuronym-chat"].private
    there = files(hub, "olga/neuronym-chat")
    assert set(there) == {".gitattributes", "README.md", "chat.duckdb"}
    (tmp_path / "it.duckdb").write_bytes(there["chat.duckdb"])
    digest = subprocess.run(["sha256sum", tmp_path / "it.duckdb"], capture_output=True, text=True, check=True).stdout
    ((run, revision),) = rows(tmp_path / "it.duckdb", "SELECT run, version_num FROM build, alembic_version")
    card = header(hub, "olga/neuronym-chat")
    assert card["license"] == "apache-2.0" and card["base_model"] == ["org/chat"]
    assert card["tags"] == ["neuronym", "interpretability"]
    size = len(there["chat.duckdb"])
    told = {"file": "chat.duckdb", "kind": "model", "sha256": digest[:64], "bytes": size, "run": run}
    assert card["neuronym"] == {"schema_revision": revision, "files": [told]}
    ((layers, neurons, hashed),) = rows(tmp_path / "it.duckdb", "SELECT layers, neurons, source_hash FROM model")
    text = there["README.md"].decode()
    for line in (
        f"- Model: `chat`, mapped from `org/chat` at revision `{COMMITS['chat']}`, llama",
        f"- Weights: hash `{hashed}`",
        f"- Layers: {layers}, of {neurons} neurons each; mapped: layer 0 alone, {neurons} neurons",
        "- Views: up; lenses: logit, cosine",
        "- Measured: activity, control, effect\n- Not measured: nothing is missing",
        f"schema {REVISION}, sha256 `{digest[:64]}`",
        "neuronym-worker pull olga/neuronym-chat",
        f"`org/chat` at `{COMMITS['chat']}` is open, with licence `apache-2.0`",
    ):
        assert line in text, line
    assert hub.datasets["olga/neuronym-chat"].messages[-1] == "For you"
    assert on_disk(library) == before


def test_a_pair_goes_with_its_models_and_names_no_machine_user_or_token(
    hub: Hub, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "tellinghost")
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "wilhelmina")
    assert command(library, "push", "both", "--to", HERE).exit_code == 0
    record = CardRecord.model_validate(header(hub)["neuronym"])
    assert [one.file for one in record.files] == ["base.duckdb", "chat.duckdb", "both.duckdb"]
    text = files(hub)["README.md"].decode()
    base = text.partition("## base.duckdb")[2].partition("## chat.duckdb")[0]
    assert "Not measured: activity, effect" in base and "whether its labels hold is not known" in text
    assert "- Pair: `both`, base `base` and instruct `chat`" in text and "Outdated" not in text
    telling = ["wilhelmina", "tellinghost", OWNER, READER, str(library.parent), "/tmp/", "/home", "127.0.0.1"]
    telling += [name for name in (getpass.getuser(), os.uname().nodename) if len(name) > 5]
    everything = {**files(hub), "messages": json.dumps(hub.datasets[HERE].messages).encode()}
    assert [(name, word) for name, content in everything.items() for word in telling if word.encode() in content] == []


def test_two_pushes_of_a_name_do_not_meet_and_a_killed_one_leaves_nothing(hub: Hub, own_library: Path) -> None:
    folder = own_library / ".pushing" / "base"
    folder.mkdir(parents=True)
    (folder / "base.duckdb").write_text("half")
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_refused(command(own_library, "push", "base", "--to", HERE), "Another run pushes base.")
    assert command(own_library, "push", "base", "--to", HERE).exit_code == 0
    assert len(files(hub)["base.duckdb"]) > 1000 and not folder.parent.exists()


def test_what_is_there_is_not_sent_again(hub: Hub, own_library: Path) -> None:
    assert command(own_library, "push", "both", "--to", HERE).exit_code == 0
    assert hub.datasets[HERE].messages[-1].startswith("Label files of both, run 20")
    came, commits = hub.came, list(hub.datasets[HERE].commits)
    again = command(own_library, "push", "both", "--to", HERE)
    assert "olga/labels has it already" in again.output and "nothing was sent" in again.output
    assert (hub.came, list(hub.datasets[HERE].commits)) == (came, commits)
    assert command(own_library, "push", "both", "--to", HERE, "--license", "mit").exit_code == 0
    assert hub.came == came and header(hub)["license"] == "mit"  # a new card alone
    files(hub)["chat.duckdb"] = b"something else"
    assert "both: chat.duckdb, README.md pushed" in command(own_library, "push", "both", "--to", HERE).output
    (own_library / "base.duckdb").write_bytes(files(hub)["base.duckdb"])
    assert command(own_library, "add", own_library / "base.duckdb").exit_code == 0
    change(current(own_library, "both"), "UPDATE pair SET base_mapped_in = 'another'")
    assert "both: base.duckdb, README.md pushed" in command(own_library, "push", "both", "--to", HERE).output
    text = files(hub)["README.md"].decode()
    assert "Outdated: base was mapped again since" in text
    assert "Not mapped by who pushed it: it was taken from `base.duckdb`" in text


def test_uploads_in_parts_and_with_a_broken_connection_arrive(
    hub: Hub, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.break_uploads = 1
    assert command(library, "push", "base", "--to", "olga/one").exit_code == 0
    assert hub.break_uploads == 0
    whole = files(hub, "olga/one")["base.duckdb"]
    hub.part, hub.objects = 300_000, {}
    lines = command(library, "push", "base", "--to", "olga/parts", "--json").output.splitlines()
    there = files(hub, "olga/parts")["base.duckdb"]
    assert len(there) == len(whole) > 3 * hub.part
    told = [json.loads(line) for line in lines]
    assert told[-2] == {"file": "base.duckdb", "bytes_done": len(there), "bytes": len(there)}
    assert told[-1]["pushed"]["sent"] == ["base.duckdb", "README.md"] and len(told) > 5
    assert not any("xet" in request for request in hub.requests)


def test_an_upload_that_never_arrives_is_said_and_leaves_nothing(
    hub: Hub, own_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = on_disk(own_library)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.break_uploads = 1000
    assert_refused(command(own_library, "push", "base", "--to", HERE), "The connection to the hub was lost.")
    assert set(files(hub)) == {".gitattributes"} and on_disk(own_library) == before
    hub.break_uploads = 0
    assert command(own_library, "push", "base", "--to", HERE).exit_code == 0


OPEN = {"cardData": {"license": "apache-2.0"}}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({**OPEN, "gated": "manual"}, "org/chat is gated"),
        ({**OPEN, "private": True}, "org/chat is private"),
        ({"cardData": {}}, "the hub does not say under which licence org/chat is"),
        ({}, "the hub does not say under which licence org/chat is"),
        ({"cardData": {"license": ["a", "b"]}}, "the hub does not say under which licence org/chat is"),
        (None, "the hub does not say under which licence org/chat is"),
        ({"cardData": {"license": "mit"}}, "its models have different licences"),
    ],
)
def test_labels_are_never_more_open_than_the_model(
    hub: Hub, library: Path, model: dict[str, object] | None, reason: str
) -> None:
    del hub.models["org/chat"]
    if model is not None:
        hub.models["org/chat"] = model
    assert_refused(command(library, "push", "both", "--public", "--to", HERE), f"--public is refused, for {reason}.")
    assert HERE not in hub.datasets and hub.came == 0


def test_labels_are_public_where_the_model_is_open_or_a_licence_is_said(hub: Hub, library: Path) -> None:
    assert command(library, "push", "base", "--public", "--to", HERE).exit_code == 0
    assert not hub.datasets[HERE].private and header(hub)["license"] == "apache-2.0"
    hub.models["org/base"]["gated"] = "manual"
    assert command(library, "push", "base", "--public", "--to", "olga/b", "--license", "cc-by-4.0").exit_code == 0
    assert not hub.datasets["olga/b"].private and header(hub, "olga/b")["license"] == "cc-by-4.0"
    assert b"is gated, with licence `apache-2.0`" in files(hub, "olga/b")["README.md"]
    del hub.models["org/base"]
    assert command(library, "push", "base", "--to", "olga/c").exit_code == 0
    assert b"is not to be seen, with a licence that could not be read" in files(hub, "olga/c")["README.md"]


def test_a_folder_has_no_licence_and_is_named_by_its_last_part(hub: Hub, own_library: Path) -> None:
    change(current(own_library, "base"), "UPDATE model SET source = '/home/me/secret/mine', revision = NULL")
    refused = command(own_library, "push", "base", "--public", "--to", HERE)
    assert_refused(refused, "the hub does not say under which licence 'mine' is")
    assert command(own_library, "push", "base", "--to", HERE).exit_code == 0
    assert "license" not in header(hub) and "base_model" not in header(hub)
    text = files(hub)["README.md"].decode()
    assert "mapped from `mine`, llama" in text and "secret" not in text and "no licence is stated" in text


def test_both_parts_of_an_adapted_model_are_asked_for(hub: Hub, own_library: Path) -> None:
    hub.models["org/lora"] = {"cardData": {"license": "apache-2.0"}, "gated": "auto"}
    source = f"org/base@{'b' * 40}+org/lora@{'d' * 40}"
    change(current(own_library, "base"), f"UPDATE model SET source = '{source}', adapter = '/home/me/snapshots/ddd'")
    assert_refused(command(own_library, "push", "base", "--public", "--to", HERE), "for org/lora is gated.")
    assert command(own_library, "push", "base", "--to", HERE).exit_code == 0
    assert header(hub)["base_model"] == ["org/base", "org/lora"] and b"/home" not in files(hub)["README.md"]


def test_a_repository_keeps_who_sees_it_and_what_it_holds(hub: Hub, library: Path) -> None:
    hub.datasets[HERE] = Dataset(private=False)
    hub.datasets[HERE].commit({"README.md": b"# Mine\n"})
    assert_refused(command(library, "push", "base", "--to", HERE), "olga/labels is public already. Give --public")
    hub.datasets[HERE].private = True
    public = command(library, "push", "base", "--to", HERE, "--public")
    assert_refused(public, "olga/labels is private already. Leave out --public, or give another --to.")
    assert_refused(command(library, "push", "base", "--to", HERE), "olga/labels has a card of its own")
    assert command(library, "push", "base", "--to", "olga/other").exit_code == 0
    other = command(library, "push", "chat", "--to", "olga/other")
    assert_refused(other, "olga/other holds base.duckdb, which is of something else. Give another --to.")
    assert files(hub) == {"README.md": b"# Mine\n"} and "chat.duckdb" not in files(hub, "olga/other")


def test_what_is_not_possible_is_said(hub: Hub, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_refused(command(library, "push", "nope"), "There is no 'nope' in the library. There is: chat, base, both.")
    assert_refused(command(library, "push", "base", "--to", "labels"), "'labels' is no repository of a hub.")
    assert_refused(command(library, "push", "base", "--to", "a/b/c"), "'a/b/c' is no repository of a hub.")
    assert_refused(command(library, "push", "base", "--license", "my own"), "'my own' is no licence's name.")
    assert_refused(command(library, "push", "base", "--to", "firm/labels"), "You may not write to firm/labels")
    hub.datasets["firm/open"] = Dataset()
    hub.datasets["firm/open"].commit({})
    assert_refused(
        command(library, "push", "base", "--to", "firm/open", "--public"),
        "You may not write to firm/open (you lack the right to write). Use a token that may write",
    )
    hub.refuse = {"/commit/": 412}
    assert_refused(command(library, "push", "base", "--to", HERE), "olga/labels was changed meanwhile")
    hub.refuse = {"whoami": 401}
    assert_refused(command(library, "push", "base"), "The hub does not know your token. Log in with `hf auth login`")
    hub.refuse = {"/api/models": 503}
    assert_refused(command(library, "push", "base", "--to", HERE), "The hub has no time for this now (status 503).")
    hub.refuse = {}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_refused(command(library, "push", "base", "--to", HERE), "HF_HUB_OFFLINE keeps this machine off the hub.")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    assert_refused(command(library, "push", "base", "--to", HERE), "The connection to the hub was lost.")
    monkeypatch.delenv("HF_TOKEN")
    assert_refused(command(library, "push", "base", "--to", HERE), "You are not logged in to the hub.")


def test_a_commit_meanwhile_is_not_overwritten(hub: Hub, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command(library, "push", "base", "--to", HERE).exit_code == 0

    def write_meanwhile(*about: Any) -> str:
        hub.datasets[HERE].commit({"notes.txt": b"mine"})
        return write_card(*about)

    monkeypatch.setattr(push, "write_card", write_meanwhile)
    meanwhile = command(library, "push", "base", "--to", HERE, "--license", "mit")
    assert_refused(meanwhile, "olga/labels was changed meanwhile (A commit has happened since). Run the same command")
    assert header(hub)["license"] == "apache-2.0"


def test_a_model_that_is_published_meanwhile_is_not_pushed_as_another(library: Path, tmp_path: Path) -> None:
    facts = read_contents("base", Settings(data=library)).models[0]
    with pytest.raises(LabelFileError, match="'base' was published anew meanwhile"):
        export(replace(facts, run="another"), tmp_path, Settings(data=library))


def test_the_hubs_own_settings_are_respected(hub: Hub, library: Path, tmp_path: Path) -> None:
    """In a process of its own, as these are read when huggingface_hub is imported."""
    home = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": hub.address}
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text(OWNER)  # where `hf auth login` leaves it
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | home
    run = [sys.executable, "-m", "worker.cli", "push", "base", "--to", HERE, "--data", str(library)]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "pushed to olga/labels" in done.stdout, done.stderr
    assert "Warning" not in done.stderr and "HTTP" not in done.stderr and "127.0.0.1" not in done.stderr
