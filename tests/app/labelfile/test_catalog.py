"""Opening, refusing and swapping states of the library; which statements an open one refuses."""

import gzip
import logging
import os
import re
import shutil
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.labelfile.catalog import Catalog
from app.labelfile.database import Database, QueryLimitExceeded
from app.labelfile.deadline import Deadline
from app.labelfile.library import Library, NoLabelFile
from neuronym.label_tables import REVISION
from neuronym.library import Catalogue, catalogue_file, replace_catalogue
from neuronym.settings import ROOT, Settings
from tests.app.label_files import Plan, planted_file, write_library

# An empty database, written by DuckDB 2.0.0.
NEWER_DUCKDB = (
    "H4sICJUKA2sCA25ld2VyLmR1Y2tkYgDt178KQQEUB+Abd/AAXkCZdfNnNF0mK2ZxKS8gHsGqrEYPIVk9iEEmyWRikJQiizJ83/LrdE5n/21Oo1"
    "xqO6zWWnFjnw6+MioWokL0fp9Uyr1ut19KBp//dM6r8iU7Xuan63CWNHcBAAAA8BOTdrw6zBfHx3x98bwM75G5Rz3Q/wEAAED/1/8BAADgX9wA"
    "SDFMUwAwAAA="
)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A catalog of an empty folder."""
    catalog = Catalog(Settings(data=tmp_path))
    yield catalog
    catalog.close()


def test_the_app_reads_the_newest_revision() -> None:
    script = ScriptDirectory.from_config(Config(toml_file=str(ROOT / "pyproject.toml")))
    assert script.get_current_head() == REVISION


def test_no_label_file_names_the_commands_that_make_one(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(NoLabelFile, match=r"make map.*neuronym-worker map demo") as refusal:
        catalog.current()
    assert str(tmp_path) in str(refusal.value)
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "5"})


def test_a_relative_data_folder_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoLabelFile, match=f"mapped yet in {tmp_path / 'data'}"):
        Catalog(Settings(data=Path("data"))).current()


def test_a_folder_of_an_earlier_version_names_the_command(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "labels-one.duckdb").touch()
    (tmp_path / "current").symlink_to("labels-one.duckdb")
    with pytest.raises(NoLabelFile, match=r"is of an earlier version. Run `neuronym-worker upgrade` once"):
        catalog.current()
    write_library(tmp_path, Plan("one"))
    assert catalog.current().run == "one"


def test_a_file_that_appears_later_is_served(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(NoLabelFile):
        catalog.current()
    write_library(tmp_path, Plan("one"))
    assert catalog.current().run == "one"
    assert catalog.current() is catalog.current()


RUN = "select run from model_0.build"


def test_a_newer_state_is_served_and_running_requests_finish_on_the_old(catalog: Catalog, tmp_path: Path) -> None:
    write_library(tmp_path, Plan("one"))
    older = catalog.current()
    with older.connect() as running:
        write_library(tmp_path, Plan("two"))
        newer = catalog.current()
        for kind in ("models", "pairs"):
            shutil.rmtree(tmp_path / "library" / kind)  # as publishing deletes what is current no more
        assert (newer.run, older.run) == ("two", "one")
        assert running.execute(sa.text(RUN)).scalar() == "one"
        with newer.connect() as connection:
            assert connection.execute(sa.text(RUN)).scalar() == "two"
        assert running.execute(sa.text(RUN)).scalar() == "one"
    assert len(older.vocabulary("tiny-chat")) > 0  # read after the swap by a request that began before it


def test_a_swap_lets_go_of_the_old_files(catalog: Catalog, tmp_path: Path) -> None:
    write_library(tmp_path, Plan("one"))
    path = planted_file(tmp_path, "tiny-chat")
    with catalog.current().connect():
        write_library(tmp_path, Plan("two"))
        catalog.current()
    opened = {os.path.realpath(descriptor) for descriptor in Path("/proc/self/fd").iterdir()}
    assert str(path) not in opened and str(planted_file(tmp_path, "tiny-chat")) in opened


def test_going_back_to_the_former_state(catalog: Catalog, tmp_path: Path) -> None:
    first = write_library(tmp_path, Plan("one"))
    catalog.current()
    write_library(tmp_path, Plan("two"))
    assert catalog.current().run == "two"
    replace_catalogue(tmp_path, first)
    assert catalog.current().run == "one"


def test_what_was_read_of_files_that_stay_is_kept(catalog: Catalog, tmp_path: Path) -> None:
    """Adding a model makes no other model slow: its vocabulary and row numbers are not read again."""
    whole = write_library(tmp_path, Plan("one"))
    replace_catalogue(tmp_path, whole.model_copy(update={"run": "less", "models": whole.models[:3]}))
    older = catalog.current()
    vocabulary, numbers = older.vocabulary("tiny-chat"), older.row_numbers(older.tables("tiny-chat").label)
    replace_catalogue(tmp_path, whole.model_copy(update={"run": "more"}))
    newer = catalog.current()
    assert (older.run, newer.run, list(newer.models)[3:]) == ("less", "more", ["tiny-gpt"])
    assert newer.vocabulary("tiny-chat") is vocabulary
    assert newer.row_numbers(newer.tables("tiny-chat").label) is numbers


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def _cut_short(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])


def _of_newer_duckdb(path: Path) -> None:
    path.write_bytes(gzip.decompress(b64decode(NEWER_DUCKDB)))


def _without_tables(path: Path) -> None:
    path.unlink()
    duckdb.connect(str(path)).close()


def _without_its_model(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from model")


def _older_schema(path: Path) -> None:
    _set_revision(path, "0000")


def _newer_schema(path: Path) -> None:
    _set_revision(path, "9999")


def _set_revision(path: Path, revision: str) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("update alembic_version set version_num = ?", [revision])


def _missing(path: Path) -> None:
    path.unlink()


BROKEN: dict[Callable[[Path], None], str] = {
    _garbage: "The model tiny-chat cannot be read: .*not a valid DuckDB database file",
    _cut_short: "The model tiny-chat cannot be read",
    _of_newer_duckdb: "written by another version of DuckDB than",
    _without_tables: "The model tiny-chat cannot be read: it is no label file",
    _without_its_model: "The model tiny-chat cannot be read: it is damaged. Map it again",
    _older_schema: f"schema revision 0000; this version reads {REVISION}. Map it again",
    _newer_schema: f"schema revision 9999; this version reads {REVISION}. Update Neuronym",
    _missing: "The model tiny-chat cannot be read: .*does not exist",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__[1:])
def test_a_broken_file_is_left_out_and_the_others_are_served(
    catalog: Catalog, tmp_path: Path, broken: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_library(tmp_path, Plan("one"))
    broken(planted_file(tmp_path, "tiny-chat"))
    with caplog.at_level(logging.ERROR):
        assert list(catalog.current().models) == ["tiny-base", "tiny-second", "tiny-gpt"]
        assert list(catalog.current().holdings.pairs) == ["tiny-later"]  # the other one lacks a model
    assert len(caplog.records) == 1  # logged once, not at each request
    told = catalog.current().unreadable["model", "tiny-chat"]
    assert re.search(BROKEN[broken], told) and str(tmp_path) not in told  # pages show it
    only = tuple(entry for entry in whole.models if entry.name == "tiny-chat")
    replace_catalogue(tmp_path, Catalogue(run="alone", models=only))
    assert catalog.current().run == "one"  # served on: nothing of the newer state can be read
    alone = Catalog(Settings(data=tmp_path))
    for _ in range(2):
        with pytest.raises(NoLabelFile, match=f"{BROKEN[broken]}.*Map a model with `make map`"):
            alone.current()
    write_library(tmp_path / "other", Plan("mended"))
    shutil.rmtree(tmp_path / "library")
    (tmp_path / "other" / "library").rename(tmp_path / "library")
    assert catalog.current().run == alone.current().run == "mended"
    alone.close()


def test_no_catalogue_any_more_leaves_the_good_state_served(catalog: Catalog, tmp_path: Path) -> None:
    write_library(tmp_path, Plan("good"))
    catalog.current()
    catalogue_file(tmp_path).unlink()
    assert catalog.current().run == "good"
    alone = Catalog(Settings(data=tmp_path))
    with pytest.raises(NoLabelFile, match="No model is mapped yet"):
        alone.current()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"run": "x", "models": [{"name": "../../etc", "run": "passwd"}]}'])
def test_a_catalogue_that_is_none_is_named(catalog: Catalog, tmp_path: Path, content: str) -> None:
    write_library(tmp_path, Plan("good"))
    catalogue_file(tmp_path).write_text(content)
    with pytest.raises(NoLabelFile, match=r"catalogue.json cannot be read: it is no catalogue of this version"):
        catalog.current()


def test_a_file_that_is_replaced_while_it_is_opened(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalogue was read, then another run published and deleted the file of before."""
    write_library(tmp_path, Plan("one"))
    attach = Database.attach

    def publish_first(self: Database, path: Path, alias: str) -> None:
        if "/one.duckdb" in str(path) and path.exists():
            write_library(tmp_path, Plan("two"))
            for old in (tmp_path / "library").rglob("one.duckdb"):
                old.unlink()
        attach(self, path, alias)

    monkeypatch.setattr(Database, "attach", publish_first)
    assert catalog.current().run == "two"
    assert len(catalog.current().models) == 4


@pytest.mark.parametrize(
    "statement",
    [
        "set threads = 4",
        "set enable_external_access = true",
        "select * from read_csv('/etc/hostname')",
        "select * from glob('/*')",
        "copy model_0.build to '/tmp/neuronym-must-not-be.csv'",
        "attach '/tmp/neuronym-must-not-be.duckdb'",
        "install fts",
        "load fts",
        "delete from model_0.build",
        "create table model_0.more (one integer)",
    ],
)
def test_an_open_library_is_locked_down(labels: Library, statement: str) -> None:
    with labels.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.exec_driver_sql(statement)
    assert not Path("/tmp/neuronym-must-not-be.csv").exists()


def test_a_question_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    catalogue, deadline = write_library(tmp_path), Deadline(0.3)
    labels = Library(tmp_path, catalogue, 1_000_000_000, deadline)
    began = time.monotonic()
    with pytest.raises(QueryLimitExceeded, match=r"longer than 0.3 seconds"), labels.connect() as connection:
        connection.exec_driver_sql("select sum(a.range * b.range) from range(10000000) a, range(10000000) b")
    assert time.monotonic() - began < 5
    with labels.connect() as connection:  # the connection is as good as new
        assert connection.exec_driver_sql("select 1").scalar() == 1
    labels.close()
    deadline.end()


def test_a_question_that_needs_too_much_memory_is_ended(tmp_path: Path) -> None:
    labels = Library(tmp_path, write_library(tmp_path), 40_000_000, Deadline(20))
    with pytest.raises(QueryLimitExceeded, match="NEURONYM_MEMORY_LIMIT"), labels.connect() as connection:
        connection.exec_driver_sql("select list(range) from range(100000000)").all()
    labels.close()


def test_many_threads_each_get_their_own_answer(labels: Library) -> None:
    wrong: list[tuple[int, object]] = []

    def ask(number: int) -> None:
        for turn in range(20):
            with labels.connect() as connection:
                result = connection.execute(sa.text("select :number * 1000 + :turn"), {"number": number, "turn": turn})
                if (value := result.scalar()) != number * 1000 + turn:
                    wrong.append((number, value))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_swaps_under_load_answer_every_request_from_one_state(catalog: Catalog, tmp_path: Path) -> None:
    write_library(tmp_path, Plan("run-0"))
    catalog.current()
    answered: list[tuple[str, str]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            labels = catalog.current()
            with labels.connect() as connection:
                answered.append((labels.run, str(connection.execute(sa.text(RUN)).scalar())))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        write_library(tmp_path, Plan(f"run-{number}"))
        time.sleep(0.1)
    ended.set()
    for thread in threads:
        thread.join()
    assert {run for run, _ in answered} >= {"run-0", "run-5"}
    assert all(run == read for run, read in answered)
