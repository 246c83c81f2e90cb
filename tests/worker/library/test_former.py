"""Folders of former schemas, kept in tests/former, are carried over: every label, token and measurement."""

import lzma
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from app.main import create_app
from neuronym.label_tables import counterparts_file
from neuronym.library import label_file, read_catalogue
from neuronym.settings import Settings
from tests.reading import rows
from worker.cli.group import main

FORMER = Path(__file__).parents[2] / "former"
BY_MODEL = ("label", "neighbour", "activity", "effect")


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A data folder as version 0.1.0 left it: four models, two of them measured, one in part, and two pairs."""
    (tmp_path / "labels-20261128-151805-0280.duckdb").write_bytes(
        lzma.decompress((FORMER / "0001.duckdb.xz").read_bytes())
    )
    (tmp_path / "current").symlink_to("labels-20261128-151805-0280.duckdb")
    return tmp_path


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A library as revision 0002 left it: the models and pairs of `former`, search rows in the order of token ids."""
    with tarfile.open(FORMER / "0002.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def former_rows(data: Path, statement: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:  # attached, as the file may be open under other settings
        connection.execute(f"ATTACH '{(data / 'current').resolve()}' AS former (READ_ONLY)")
        connection.execute("USE former")
        return connection.execute(statement).fetchall()


def columns(data: Path, table: str, *but: str) -> str:
    """The columns that a table had then."""
    names = former_rows(data, f"SELECT column_name FROM (DESCRIBE {table})")
    return ", ".join(name for (name,) in names if name not in but)


def upgrade(data: Path) -> str:
    result = CliRunner().invoke(main, ["upgrade", "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.output


def test_nothing_is_lost(former: Path) -> None:
    assert "labels-20261128-151805-0280.duckdb is needed no more" in upgrade(former)
    assert [entry.name for entry in read_catalogue(former).models] == ["after", "before", "later", "other"]
    for table in BY_MODEL:
        everything = f"SELECT {columns(former, table)} FROM {table} ORDER BY ALL"
        assert rows(former, everything) == former_rows(former, everything), table
    about = "name, source, source_hash, layers, settings, versions, mapped_at, seconds, note"
    assert rows(former, f"SELECT {about} FROM model ORDER BY id") == former_rows(
        former, f"SELECT {about} FROM model ORDER BY id"
    )
    measured = "SELECT model, kind, settings::JSON, result::JSON, measured_at, seconds FROM measurement ORDER BY ALL"
    assert rows(former, measured) == former_rows(former, measured)
    tokens = "SELECT DISTINCT id, text, folded, kind FROM token ORDER BY id"
    assert rows(former, tokens) == former_rows(former, tokens)


def test_what_is_derived_comes_out_as_it_was(former: Path) -> None:
    """Derived anew by this version, from the rows of then."""
    upgrade(former)
    statement = f"SELECT {SEARCHED} FROM label_by_token ORDER BY ALL"
    assert rows(former, statement) == former_rows(former, statement)
    pairs = "SELECT name, note FROM pair ORDER BY id"
    assert rows(former, pairs) == former_rows(former, pairs)
    drift = f"SELECT {columns(former, 'drift', 'base_token', 'instruct_token')} FROM drift ORDER BY ALL"
    assert rows(former, drift) == former_rows(former, drift)
    ends = "SELECT pair, view, lens, layer, neuron, {}, {} FROM drift ORDER BY ALL"
    assert rows(former, ends.format("base_0", "instruct_0")) == former_rows(
        former, ends.format("base_token", "instruct_token")
    )
    for table in ("agreement", "concept"):
        statement = f"SELECT {columns(former, table)} FROM {table} ORDER BY ALL"
        assert rows(former, statement) == former_rows(former, statement), table


def test_a_folder_is_carried_over_once_and_served(former: Path) -> None:
    with TestClient(create_app(Settings(data=former))) as client:
        before = client.get("/api/v1/models")
        assert before.status_code == 503 and "neuronym-worker upgrade" in before.json()["error"]
        upgrade(former)
        answer = client.get("/api/v1/models").json()
    assert [model["name"] for model in answer["models"]] == ["after", "before", "later", "other"]
    assert answer["models"][0]["measurements"]["effect"]
    assert "Nothing to carry over" in upgrade(former)


def test_a_folder_of_another_revision_is_refused(former: Path) -> None:
    file = (former / "current").resolve()
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    result = CliRunner().invoke(main, ["upgrade", "--data", str(former)])
    assert result.exit_code == 1 and "is not of revision 0001" in result.output
    assert not read_catalogue(former).models


def test_a_library_of_the_second_schema_is_carried_over(second: Path) -> None:
    everything = {table: stored(second, table) for table in COPIED}
    searched = rows(second, f"SELECT {SEARCHED} FROM label_by_token ORDER BY ALL")
    counterparts = counterpart_files(second)
    models = {entry.name: entry.run for entry in read_catalogue(second).models}
    assert "Published in" in upgrade(second)
    assert {entry.name for entry in read_catalogue(second).models} == models.keys()
    assert not any(entry.run == models[entry.name] for entry in read_catalogue(second).models)
    for table, before in everything.items():
        assert before and stored(second, table) == before, table
    assert rows(second, f"SELECT {SEARCHED} FROM label_by_token ORDER BY ALL") == searched
    places = rows(second, "SELECT model, side, place, -z FROM label_by_token")
    assert places == sorted(places)
    assert counterpart_files(second) == counterparts
    assert "Nothing to carry over" in upgrade(second)
    assert CliRunner().invoke(main, ["upgrade", "--quiet", "--data", str(second)]).output == ""


def test_a_pair_keeps_what_it_says_of_models_as_they_were(second: Path) -> None:
    """It was compared with a model that was mapped again since: its rows do not follow from its models' any more."""
    file = label_file(second, "pair", read_catalogue(second).pairs[0])
    with duckdb.connect(str(file)) as connection:
        connection.execute("UPDATE pair SET base_mapped_in = 'an-earlier-run'")
        connection.execute("UPDATE drift SET same_top = NOT same_top, base_0 = 7")
        connection.execute("UPDATE agreement SET agreement = 0.125")
    before = {table: stored(second, table) for table in ("pair", "drift", "agreement", "concept")}
    upgrade(second)
    assert {table: stored(second, table) for table in before} == before


def test_a_library_of_the_second_schema_says_what_to_do(second: Path) -> None:
    with TestClient(create_app(Settings(data=second))) as client:
        before = client.get("/api/v1/models")
        assert before.status_code == 503
        assert "revision 0002" in before.json()["error"] and "neuronym-worker upgrade" in before.json()["error"]
        upgrade(second)
        names = [model["name"] for model in client.get("/api/v1/models").json()["models"]]
        assert names == ["after", "before", "later", "other"]
        found = client.get("/api/v1/search", params={"q": "a*", "limit": 5}).json()
    assert found["total"] > 5 and len(found["results"]) == 5


def test_a_file_that_cannot_be_read_stays_and_the_others_are_carried_over(second: Path) -> None:
    damaged = label_file(second, "model", read_catalogue(second).models[3])
    damaged.write_bytes(b"nothing")
    upgrade(second)
    assert damaged.read_bytes() == b"nothing"
    with TestClient(create_app(Settings(data=second))) as client:
        assert len(client.get("/api/v1/models").json()["models"]) == 3


COPIED = (*BY_MODEL, "model", "tokenizer", "pair", "drift", "agreement", "concept")
SEARCHED = "model, token, side, z, view, lens, layer, neuron, rank, score, top_0, top_4, layer_z, strength, effect"


def stored(data: Path, table: str) -> list[tuple[Any, ...]]:
    return rows(data, f"SELECT * FROM {table} ORDER BY ALL")


def counterpart_files(data: Path) -> list[bytes]:
    entries = read_catalogue(data).pairs
    return [counterparts_file(label_file(data, "pair", entry)).read_bytes() for entry in entries]
