"""`add`: a file that somebody else made comes in whole, or is refused in one line with the library as it was."""

import errno
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from fastapi.testclient import TestClient

from app.main import create_app
from neuronym.library import read_catalogue
from neuronym.settings import Settings
from tests.checkpoints import make_checkpoint
from tests.worker.library.exported_files import QUICK, change, command, current, make_library, on_disk, rows
from worker.library import added_model
from worker.library.holds import hold
from worker.map_run import MapRun
from worker.mapping.recipe import MapRecipe

DERIVED = ("label_by_token", "agreement", "concept")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of somebody else, with files of all it has beside it."""
    data = make_library(tmp_path_factory.mktemp("origin"))
    for name in ("base", "chat", "both"):
        assert command(data, "export-file", name, data.parent / f"{name}.duckdb").exit_code == 0
    return data.parent


@pytest.fixture(scope="module")
def with_models(origin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library to which both models were added."""
    data = tmp_path_factory.mktemp("with-models") / "data"
    for name in ("base", "chat"):
        assert command(data, "add", origin / f"{name}.duckdb").exit_code == 0
    return data


@pytest.fixture
def data(with_models: Path, tmp_path: Path) -> Path:
    """A library of its own with both models."""
    return shutil.copytree(with_models, tmp_path / "data")


# --- what comes in -----------------------------------------------------------------------------------------------


def test_all_comes_in_as_it_left(origin: Path, data: Path) -> None:
    added = command(data, "add", origin / "both.duckdb")
    assert added.exit_code == 0 and added.output.startswith("both: pair of base and chat.\n")
    assert "outdated" not in added.output
    for name in ("base", "chat", "both"):
        left, came = origin / f"{name}.duckdb", current(data, name)
        for (table,) in rows(left, "SELECT table_name FROM duckdb_tables()"):
            if table in ("model", "build", "measurement"):
                continue
            assert rows(came, f"FROM {table} ORDER BY ALL") == rows(left, f"FROM {table} ORDER BY ALL"), table
        measured = "SELECT kind, settings::JSON::VARCHAR, result, measured_at, seconds FROM measurement ORDER BY kind"
        for mine, theirs in zip(rows(came, measured), rows(left, measured), strict=True):
            assert [mine[0], json.loads(mine[1]), json.loads(mine[2]), *mine[3:]] == [
                theirs[0], json.loads(theirs[1]), json.loads(theirs[2]), *theirs[3:],
            ]  # fmt: skip
        assert rows(came, "SELECT * EXCLUDE settings FROM model") == rows(left, "SELECT * EXCLUDE settings FROM model")
    assert rows(current(data, "chat"), "SELECT count(*) > 0 FROM effect") == [(True,)]


def test_what_was_added_says_where_it_came_from(origin: Path, tmp_path: Path) -> None:
    digest = subprocess.run(["sha256sum", origin / "chat.duckdb"], capture_output=True, text=True, check=True).stdout[
        :64
    ]
    added = command(tmp_path, "add", origin / "chat.duckdb", "--name", "Theirs")
    run = read_catalogue(tmp_path).run
    assert added.output == (
        f"theirs: layer 0, activity, effect, from chat.\nsha256 {digest}\n"
        f"Published in {tmp_path / 'library'} (run {run}).\n"
    )
    ((settings,),) = rows(current(tmp_path, "theirs"), "SELECT settings FROM model")
    origin_of_it = json.loads(settings)["added"]
    assert {"file": "chat.duckdb", "sha256": digest}.items() <= origin_of_it.items() and origin_of_it["at"]
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        page = client.get("/models/theirs").text
    assert "from a file that somebody else made" in page and digest in page
    assert not list(tmp_path.rglob(".added")) and not list(tmp_path.rglob(".building*"))


def test_paths_of_a_file_that_was_only_copied_are_cut(origin: Path, tmp_path: Path) -> None:
    assert command(tmp_path, "add", current(origin / "data", "base")).exit_code == 0
    assert rows(current(tmp_path, "base"), "SELECT source FROM model") == [("base",)]


def test_the_same_weights_are_replaced_and_others_refused(origin: Path, data: Path) -> None:
    before = on_disk(data)
    other = command(data, "add", origin / "base.duckdb", "--name", "chat")
    assert_refused(other, "The name 'chat' is taken by a model with other weights (chat). Give --name.")
    assert on_disk(data) == before
    again = command(data, "add", origin / "chat.duckdb")
    assert again.exit_code == 0 and "takes the place of the one with the same weights" in again.output
    assert [entry.name for entry in read_catalogue(data).models] == ["base", "chat"]
    assert len(list((data / "library/models/chat").iterdir())) == 1


def test_layers_and_measurements_are_not_lost(origin: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    MapRun(Settings(data=data), MapRecipe(views=QUICK.views, layers=range(2))).map([str(origin / "chat")], ["chat"])
    assert_refused(command(data, "add", origin / "chat.duckdb"), "has layers 0 to 1 of 'chat'")
    MapRun(Settings(data=tmp_path / "less"), QUICK).map([str(origin / "chat")], ["chat"])
    command(tmp_path / "less", "export-file", "chat", tmp_path / "less.duckdb")
    command(tmp_path, "add", origin / "chat.duckdb")
    assert_refused(command(tmp_path, "add", tmp_path / "less.duckdb"), "has activity, effect of 'chat'")


def test_a_pair_needs_its_models(origin: Path, tmp_path: Path) -> None:
    assert_refused(command(tmp_path, "add", origin / "both.duckdb"), "The pair needs 'base' and 'chat'")
    command(tmp_path, "add", origin / "chat.duckdb")
    assert_refused(command(tmp_path, "add", origin / "both.duckdb"), "The pair needs 'base', which")
    assert [entry.name for entry in read_catalogue(tmp_path).pairs] == []


def test_a_pair_of_models_mapped_here_is_outdated(origin: Path, data: Path) -> None:
    MapRun(Settings(data=data), QUICK).map([str(origin / "base")], ["base"])
    added = command(data, "add", origin / "both.duckdb", "--name", "two")
    assert added.exit_code == 0 and "It is outdated: base here was mapped in another run" in added.output
    assert "two: pair of base and chat, made before base was mapped again" in command(data, "list").output


def test_a_name_of_another_pair_is_refused(origin: Path, data: Path, tmp_path: Path) -> None:
    file = copied(origin / "both.duckdb", tmp_path)
    change(file, "UPDATE pair SET base = 'chat', instruct = 'base'")
    assert command(data, "add", origin / "both.duckdb").exit_code == 0
    assert_refused(command(data, "add", file), "The pair 'both' stands for two other models. Give --name.")


def test_a_pair_of_other_models_is_refused(origin: Path, data: Path, tmp_path: Path) -> None:
    MapRun(Settings(data=data), QUICK).map([str(make_checkpoint(tmp_path / "gpt", "gpt2"))], ["gpt"])
    for statement in ("UPDATE pair SET base = 'gpt'", "UPDATE pair SET tokenizer = 'x'"):
        file = copied(origin / "both.duckdb", tmp_path)
        change(file, statement)
        assert_refused(command(data, "add", file), "of this library are not its models")


# --- what does not -----------------------------------------------------------------------------------------------

ONE = "WHERE view = 0 AND lens = 0 AND layer = 0 AND neuron = 5"
ONE_OF_ACTIVITY = "WHERE site = 2 AND layer = 0 AND neuron = 5"
HOSTILE = {
    "a view in place of a table": (
        ["ALTER TABLE label RENAME TO concealed", "CREATE VIEW label AS SELECT content FROM read_text('/etc/passwd')"],
        "it holds the view 'label'",
    ),
    "a view": (["CREATE VIEW more AS SELECT 1"], "it holds the view 'more'"),
    "a macro": (["CREATE MACRO isfinite(x) AS true"], "it holds the macro 'isfinite'"),
    "a table macro": (["CREATE MACRO duckdb_tables() AS TABLE SELECT 1"], "it holds the macro 'duckdb_tables'"),
    "a type": (["CREATE TYPE mood AS ENUM ('good')"], "it holds the type 'mood'"),
    "a sequence": (["CREATE SEQUENCE numbers"], "it holds the sequence 'numbers'"),
    "an index": (["CREATE INDEX by_id ON token (id)"], "it holds the index 'by_id'"),
    "a schema": (["CREATE SCHEMA more", "CREATE TABLE more.label (id INT)"], "it holds the schema 'more'"),
    "an extra table": (["CREATE TABLE more (id INT)"], "it holds the unknown table 'more'"),
    "no table": (["DROP TABLE concept"], "it lacks the table 'concept'"),
    "an extra column": (["ALTER TABLE token ADD COLUMN more INT"], "its table 'token' has other columns"),
    "a column of another type": (["ALTER TABLE label ALTER norm TYPE DOUBLE"], "its table 'label' has other columns"),
    "a default": (["ALTER TABLE build ALTER run SET DEFAULT 'x'"], "its table 'build' has other columns"),
    "a generated column": (
        ["DROP TABLE concept", "CREATE TABLE concept (view SMALLINT, lens SMALLINT GENERATED ALWAYS AS (view + 1))"],
        "its table 'concept' has other columns",
    ),
    "another revision": (["UPDATE alembic_version SET version_num = '0009'"], "it is of revision '0009' where this"),
    "no revision": (["DROP TABLE alembic_version"], "does not say which revision"),
    "two models": (["INSERT INTO model FROM model"], "its table 'model' has 2 rows"),
    "no model": (["DELETE FROM model"], "it holds no model"),
    "no tokenizer": (["DELETE FROM tokenizer"], "it holds no model with its tokenizer"),
    "a model and a pair": (["INSERT INTO pair VALUES ('p', 'a', 'b', 'x', 'x', 'x', NULL)"], "has 1 rows and not 0"),
    "a name with a slash": (["UPDATE model SET name = 'a/b'"], "its name 'a/b' is not one"),
    "a name that leads out": (["UPDATE model SET name = '..'"], "its name '..' is not one"),
    "a name in capitals": (["UPDATE model SET name = 'Chat'"], "its name 'Chat' is not one"),
    "a run that leads out": (["UPDATE model SET mapped_in = '../x'"], "its model.mapped_in is not one"),
    "a hash that is none": (["UPDATE model SET source_hash = 'a b'"], "its model.source_hash is not one"),
    "a source that moves the cursor": (
        ["UPDATE model SET source = 'a' || chr(27)"],
        "model.source is more than a line",
    ),
    "a long text": (["UPDATE model SET note = repeat('x', 50000000)"], "its model.note has 50,000,000 bytes"),
    "a long source": (["UPDATE model SET source = repeat('x', 600)"], "its model.source has 600 bytes"),
    "no layers": (["UPDATE model SET layers = 0"], "a model with 0 layers"),
    "endless neurons": (["UPDATE model SET neurons = 2000000000"], "a model with 2000000000 neurons"),
    "endless seconds": (["UPDATE model SET seconds = 'inf'"], "its model.seconds is inf"),
    "a time that is none": (["UPDATE model SET mapped_at = 'soon'"], "'soon' is no time"),
    "broken settings": (["UPDATE model SET settings = '{'"], "the settings of its mapping cannot be read"),
    "deep settings": (["UPDATE model SET settings = repeat('[', 9999)"], "cannot be read (nested too deep)"),
    "an unknown view": (
        ["UPDATE model SET settings = replace(settings, '\"up\"', '\"side\"')"],
        "views.0: Input should",
    ),
    "a view twice": (['UPDATE model SET settings = replace(settings, \'"up"\', \'"up", "up"\')'], "it names up twice"),
    "layers out of range": (
        ["UPDATE model SET settings = replace(settings, '\"layers\": [0, 0]', '\"layers\": [0, 9]')"],
        "its layers 0 to 9 are not among 4",
    ),
    "a gate that is none": (
        ["UPDATE model SET gated = false, settings = replace(settings, '\"up\"', '\"gate\"')"],
        "it has labels of a gate",
    ),
    "long lists": (["UPDATE model SET settings = replace(settings, ': 20', ': 20000')"], "top_k: Input should"),
    "settings of a kind": (
        ['UPDATE model SET settings = replace(settings, \'"gain": "none"\', \'"gain": {"a": 1}\')'],
        "what it says of its model cannot be read (settings.gain",
    ),
    "half a letter": (
        ["UPDATE model SET settings = replace(settings, '\"none\"', '\"\\ud800\"')"],
        "the settings of its mapping cannot be read",
    ),
    "a tokenizer that is none": (["UPDATE tokenizer SET json = '{}'"], "its tokenizer cannot be read"),
    "another hash": (
        ["UPDATE tokenizer SET hash = 'c0ffee'", "UPDATE model SET tokenizer = 'c0ffee'"],
        "its tokenizer is not the one whose hash it states",
    ),
    "another vocabulary": (["UPDATE model SET vocab = 5"], "tokens and not 5"),
    "an unknown measurement": (["UPDATE measurement SET kind = 'spell' WHERE kind = 'effect'"], "its measurements are"),
    "a measurement twice": (["UPDATE measurement SET kind = 'control'"], "its measurements are not"),
    "a broken measurement": (["UPDATE measurement SET result = '{}'"], "what it says of its model cannot be read"),
    "a figure that is none": (
        ['UPDATE measurement SET result = replace(result, \'"weak_above": \', \'"weak_above": NaN, "x": \')'],
        "what it says of its model cannot be read (NaN is no number)",
    ),
    "a measurement at no time": (["UPDATE measurement SET measured_at = 'x'"], "'x' is no time"),
    "no labels": (["DELETE FROM label"], "it has no labels"),
    "a label too few": ([f"DELETE FROM label {ONE}"], "chat should have 96 labels, but 95 were loaded"),
    "a label too many": (["INSERT INTO label FROM label LIMIT 1"], "has 97 rows where its model can have 96"),
    "a label twice": ([f"UPDATE label SET neuron = 6 {ONE}"], "96 rows of 95 different places"),
    "a neuron out of range": ([f"UPDATE label SET neuron = 48 {ONE}"], "a view, lens or neuron that its model lacks"),
    "a view out of range": ([f"UPDATE label SET view = 1 {ONE}"], "a view, lens or neuron that its model lacks"),
    "an expert": ([f"UPDATE label SET expert = 0 {ONE}"], "a view, lens or neuron that its model lacks"),
    "a long list": (
        [f"UPDATE label SET top_ids = range(10000), top_scores = range(10000) {ONE}"],
        "lists of tokens that do not fit",
    ),
    "lists of two lengths": ([f"UPDATE label SET top_ids = top_ids[2:] {ONE}"], "do not fit (1 of 96"),
    "a list with a gap": ([f"UPDATE label SET bottom_ids = [NULL] || bottom_ids[2:] {ONE}"], "do not fit (1 of 96"),
    "a token beyond all": (
        [f"UPDATE label SET top_ids = [999999] || top_ids[2:] {ONE}"],
        "'label' has a token that is not in its vocabulary (1 of 96",
    ),
    "a token below all": ([f"UPDATE label SET bottom_ids = [-1] || bottom_ids[2:] {ONE}"], "not in its vocabulary"),
    "a token twice": ([f"UPDATE label SET top_ids = [top_ids[2]] || top_ids[2:] {ONE}"], "not in its vocabulary"),
    "a score that is none": (
        [f"UPDATE label SET top_scores = ['nan'::FLOAT] || top_scores[2:] {ONE}"],
        "scores that are not finite",
    ),
    "an endless score": (
        [f"UPDATE label SET bottom_scores = ['-inf'::FLOAT] || bottom_scores[2:] {ONE}"],
        "scores that are not finite",
    ),
    "scores out of order": ([f"UPDATE label SET top_scores = list_reverse(top_scores) {ONE}"], "scores out of order"),
    "low scores out of order": ([f"UPDATE label SET bottom_scores = list_reverse(bottom_scores) {ONE}"], "of order"),
    "a figure without end": ([f"UPDATE label SET kurtosis = 'inf' {ONE}"], "figures that are not finite"),
    "a strength that there is not": ([f"UPDATE label SET strength = 3 {ONE}"], "a share or strength that there is not"),
    "a neighbour out of range": (["UPDATE neighbour SET neurons = [48] || neurons[2:]"], "neighbours that do not fit"),
    "long lists of neighbours": (
        ["UPDATE neighbour SET neurons = [0 FOR x IN range(999)], cosines = [0 FOR x IN range(999)]"],
        "lists of neighbours that do not fit",
    ),
    "few quantiles": (["UPDATE activity SET quantiles = [1]"], "quantiles that do not fit"),
    "long contexts": (
        [f"UPDATE activity SET contexts = '[\"' || repeat('x', 50000000) || '\"]' {ONE_OF_ACTIVITY}"],
        "contexts that are too long (1 of",
    ),
    "contexts that are no JSON": (["UPDATE activity SET contexts = '['"], "contexts that are not a few texts"),
    "contexts of numbers": (["UPDATE activity SET contexts = '[1]'"], "contexts that are not a few texts"),
    "contexts by name": (['UPDATE activity SET contexts = \'{"a": "b"}\''], "contexts that are not a few texts"),
    "half a letter in a context": (["UPDATE activity SET contexts = '[\"\\ud800\"]'"], "contexts that are not a few"),
    "a direction that there is not": (
        ["UPDATE effect SET direction = 2"],
        "a site, end or neuron that its model lacks",
    ),
    "an effect twice": (["UPDATE effect SET neuron = 6 WHERE neuron = 5"], "different places"),
    "an effect on no token": (["UPDATE effect SET tokens = [999999] || tokens[2:]"], "not in its vocabulary"),
    "few labels": (["UPDATE effect SET deltas = [1]"], "lists of labels that do not fit"),
    "an endless change": (["UPDATE effect SET kl = 'inf'"], "changes that are not finite"),
}
HOSTILE_PAIRS = {
    "a pair that leads out": (["UPDATE pair SET name = '../x'"], "its name '../x' is not one"),
    "a model that leads out": (["UPDATE pair SET base = '../x'"], "its pair.base is not one"),
    "two pairs": (["INSERT INTO pair FROM pair"], "its table 'pair' has 2 rows"),
    "no drift": (["DELETE FROM drift"], "have no layer in common"),
    "a cosine that is none": (["UPDATE drift SET cosine = 7"], "a cosine that is none"),
    "two cosines": (["UPDATE drift SET cosine = 0.5 WHERE lens = 0"], "not one cosine for each neuron"),
    "a neuron missing": (["DELETE FROM drift WHERE neuron = 5"], "not one cosine for each neuron"),
    "a layer out of range": (["UPDATE drift SET layer = 4"], "a view, lens or neuron that its models lack"),
}


def copied(good: Path, folder: Path) -> Path:
    return Path(shutil.copy(good, folder / "file.duckdb"))


def assert_refused(result: Result, sentence: str) -> None:
    output = result.output
    assert result.exit_code == 1 and sentence in output, output
    assert output.startswith("Error: ") and output.count("\n") == 1 and "Traceback" not in output


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_model_is_refused(origin: Path, with_models: Path, tmp_path: Path, case: str) -> None:
    statements, sentence = HOSTILE[case]
    _check_refused(origin / "chat.duckdb", with_models, tmp_path, statements, sentence)


@pytest.mark.parametrize("case", HOSTILE_PAIRS)
def test_a_hostile_pair_is_refused(origin: Path, with_models: Path, tmp_path: Path, case: str) -> None:
    statements, sentence = HOSTILE_PAIRS[case]
    _check_refused(origin / "both.duckdb", with_models, tmp_path, statements, sentence)


def _check_refused(good: Path, data: Path, folder: Path, statements: list[str], sentence: str) -> None:
    file = copied(good, folder)
    change(file, *statements)
    before = on_disk(data)
    assert_refused(command(data, "add", file), sentence)
    assert on_disk(data) == before


def test_what_is_no_database_is_refused(origin: Path, with_models: Path, tmp_path: Path) -> None:
    good, before = (origin / "chat.duckdb").read_bytes(), on_disk(with_models)
    (tmp_path / "short").write_bytes(good[: len(good) // 2])
    (tmp_path / "shorter").write_bytes(good[:5000])
    (tmp_path / "text").write_text("no database")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "beside").write_bytes(good)
    (tmp_path / "beside.wal").write_bytes(b"more")
    for name, sentence in {
        "short": "could not be built or read",
        "shorter": "could not be built or read",
        "text": "not a valid DuckDB database file",
        "empty": "not a valid DuckDB database file",
        "folder": "Give the path of a label file",
        "absent": "Give the path of a label file",
        "beside": "beside it lies beside.wal",
    }.items():
        assert_refused(command(with_models, "add", tmp_path / name), sentence)
    assert on_disk(with_models) == before


def test_damage_is_noticed(origin: Path, with_models: Path, tmp_path: Path) -> None:
    """A byte in each block, which DuckDB's checksums tell."""
    content, before = bytearray((origin / "chat.duckdb").read_bytes()), on_disk(with_models)
    for place in range(200_000, len(content), 262_144):
        content[place] ^= 0xFF
    (tmp_path / "file.duckdb").write_bytes(content)
    assert_refused(command(with_models, "add", tmp_path / "file.duckdb"), "could not be built or read")
    assert on_disk(with_models) == before


def test_what_another_run_works_on_is_left(origin: Path, data: Path) -> None:
    with hold(data, {"model": ["chat"]}):
        assert_refused(command(data, "add", origin / "chat.duckdb"), "Another run works on the model 'chat'")
        assert_refused(command(data, "add", origin / "both.duckdb"), "Another run works on the model 'chat'")


def test_a_full_disk_is_said_and_leaves_nothing(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(added_model, "copy_rows", fill)
    assert_refused(command(tmp_path, "add", origin / "chat.duckdb"), "cannot be written (No space left on device)")
    assert list(on_disk(tmp_path)) == ["library"]


@pytest.mark.parametrize("moment", ["copy", "build", "catalogue"])
def test_killed_at_any_moment_the_library_opens(origin: Path, data: Path, moment: str) -> None:
    before = read_catalogue(data)
    code = f"""
import os, signal, sys
from pathlib import Path
from neuronym.settings import Settings
from worker.labelfile import model_file
from worker.library import added, added_model, current
def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
module, name = {{"copy": (added_model, "token_rows"), "build": (model_file, "check_complete"),
                "catalogue": (current, "replace_catalogue")}}["{moment}"]
setattr(module, name, kill)
added.add_file(Path(sys.argv[2]), Settings(data=Path(sys.argv[1])), "third")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(data), str(origin / "chat.duckdb")], capture_output=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert list((data / "library/models/third").iterdir())
    assert read_catalogue(data) == before
    assert command(data, "list").output.startswith("base: layer 0")
    assert command(data, "add", origin / "base.duckdb", "--name", "fourth").exit_code == 0  # sweeps what was left
    assert {path.name for path in (data / "library/models").iterdir()} == {"base", "chat", "fourth"}
