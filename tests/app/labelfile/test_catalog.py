"""Opening, refusing and swapping label files; which statements an open one refuses."""

import gzip
import logging
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.labelfile.catalog import Catalog
from app.labelfile.deadline import Deadline
from app.labelfile.label_file import LabelFile, NoLabelFile, QueryLimitExceeded
from neuronym.label_tables import REVISION
from neuronym.settings import ROOT, Settings
from tests.app.label_files import Plan, move_link, write_label_file

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


def test_a_copy_without_its_link_says_how_to_make_it(catalog: Catalog, tmp_path: Path) -> None:
    write_label_file(tmp_path, Plan("one"))
    name = (tmp_path / "current").readlink()
    (tmp_path / "current").unlink()
    (tmp_path / "current").write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(NoLabelFile, match=r"should be a link .*`ln -sf labels-RUN\.duckdb current`"):
        catalog.current()
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(name)
    assert catalog.current().run == "one"


def test_a_file_that_appears_later_is_served(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(NoLabelFile):
        catalog.current()
    write_label_file(tmp_path, Plan("one"))
    assert catalog.current().run == "one"
    assert catalog.current() is catalog.current()


def test_a_newer_file_is_served_and_running_requests_finish_on_the_old(catalog: Catalog, tmp_path: Path) -> None:
    write_label_file(tmp_path, Plan("one"))
    older = catalog.current()
    with older.connect() as running:
        write_label_file(tmp_path, Plan("two"))
        newer = catalog.current()
        assert (newer.run, older.run) == ("two", "one")
        assert running.execute(sa.text("select run from build")).scalar() == "one"
        with newer.connect() as connection:
            assert connection.execute(sa.text("select run from build")).scalar() == "two"
        assert running.execute(sa.text("select run from build")).scalar() == "one"
    assert len(older.vocabulary("tiny-chat")) > 0  # read after the swap by a request that began before it


def test_a_swap_lets_go_of_the_old_file(catalog: Catalog, tmp_path: Path) -> None:
    path = write_label_file(tmp_path, Plan("one"))
    with catalog.current().connect():
        write_label_file(tmp_path, Plan("two"))
        catalog.current()
    duckdb.connect(str(path)).close()  # to write: refused while this process has the file open to read


def test_going_back_to_the_former_file(catalog: Catalog, tmp_path: Path) -> None:
    first = write_label_file(tmp_path, Plan("one"))
    catalog.current()
    write_label_file(tmp_path, Plan("two"))
    assert catalog.current().run == "two"
    move_link(tmp_path, first.name)
    assert catalog.current().run == "one"


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def _cut_short(path: Path) -> None:
    write_label_file(path.parent, Plan("whole"), publish=False)
    whole = (path.parent / "labels-whole.duckdb").read_bytes()
    path.write_bytes(whole[: len(whole) // 3])


def _of_newer_duckdb(path: Path) -> None:
    path.write_bytes(gzip.decompress(b64decode(NEWER_DUCKDB)))


def _without_tables(path: Path) -> None:
    duckdb.connect(str(path)).close()


def _older_schema(path: Path) -> None:
    write_label_file(path.parent, Plan("broken", revision="0000"), publish=False)


def _newer_schema(path: Path) -> None:
    write_label_file(path.parent, Plan("broken", revision="9999"), publish=False)


BROKEN = {
    _garbage: "cannot be read.*Map a model with `make map`",
    _cut_short: "cannot be read.*Map a model with `make map`",
    _of_newer_duckdb: "written by another version of DuckDB than.*Map a model with `make map`",
    _without_tables: "cannot be read.*alembic_version.*Map a model with `make map`",
    _older_schema: f"schema revision 0000; this version reads {REVISION}. Map a model with `make map`",
    _newer_schema: f"schema revision 9999; this version reads {REVISION}. Update Neuronym",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__[1:])
def test_a_broken_file_is_refused_with_the_mend(
    catalog: Catalog, tmp_path: Path, broken: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(broken)
    sentence = BROKEN[broken]
    write_label_file(tmp_path, Plan("good"))
    catalog.current()
    broken(tmp_path / "labels-broken.duckdb")
    move_link(tmp_path, "labels-broken.duckdb")
    with caplog.at_level(logging.ERROR):
        assert catalog.current().run == "good"
        assert catalog.current().run == "good"
    assert len(caplog.records) == 1  # logged once, not at each request
    assert "labels-good.duckdb is served on" in caplog.text
    alone = Catalog(Settings(data=tmp_path))
    with pytest.raises(NoLabelFile, match=sentence):
        alone.current()
    with pytest.raises(NoLabelFile, match=sentence):
        alone.current()
    write_label_file(tmp_path, Plan("mended"))
    assert catalog.current().run == alone.current().run == "mended"
    alone.close()


def test_a_link_to_nothing_leaves_the_good_one_served(catalog: Catalog, tmp_path: Path) -> None:
    write_label_file(tmp_path, Plan("good"))
    catalog.current()
    move_link(tmp_path, "labels-gone.duckdb")
    assert catalog.current().run == "good"
    (tmp_path / "current").unlink()
    assert catalog.current().run == "good"
    alone = Catalog(Settings(data=tmp_path))
    with pytest.raises(NoLabelFile, match="No model is mapped yet"):
        alone.current()


@pytest.mark.parametrize(
    "statement",
    [
        "set threads = 4",
        "set enable_external_access = true",
        "select * from read_csv('/etc/hostname')",
        "select * from glob('/*')",
        "copy build to '/tmp/neuronym-must-not-be.csv'",
        "attach '/tmp/neuronym-must-not-be.duckdb'",
        "install fts",
        "load fts",
        "delete from build",
        "create table more (one integer)",
    ],
)
def test_an_open_file_is_locked_down(labels: LabelFile, statement: str) -> None:
    with labels.connect() as connection, pytest.raises(sa.exc.DBAPIError):
        connection.exec_driver_sql(statement)
    assert not Path("/tmp/neuronym-must-not-be.csv").exists()


def test_a_question_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    path = write_label_file(tmp_path)
    deadline = Deadline(0.3)
    labels = LabelFile(path, 1_000_000_000, deadline)
    began = time.monotonic()
    with pytest.raises(QueryLimitExceeded, match=r"longer than 0.3 seconds"), labels.connect() as connection:
        connection.exec_driver_sql("select sum(a.range * b.range) from range(10000000) a, range(10000000) b")
    assert time.monotonic() - began < 5
    with labels.connect() as connection:  # the connection is as good as new
        assert connection.exec_driver_sql("select 1").scalar() == 1
    labels.close()
    deadline.end()


def test_a_question_that_needs_too_much_memory_is_ended(tmp_path: Path) -> None:
    labels = LabelFile(write_label_file(tmp_path), 30_000_000, Deadline(20))
    with pytest.raises(QueryLimitExceeded, match="NEURONYM_MEMORY_LIMIT"), labels.connect() as connection:
        connection.exec_driver_sql("select list(range) from range(100000000)").all()
    labels.close()


def test_many_threads_each_get_their_own_answer(labels: LabelFile) -> None:
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


def test_swaps_under_load_answer_every_request_from_one_whole_file(catalog: Catalog, tmp_path: Path) -> None:
    write_label_file(tmp_path, Plan("run-0"))
    catalog.current()
    answered: list[tuple[str, str]] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            labels = catalog.current()
            with labels.connect() as connection:
                answered.append((labels.run, str(connection.execute(sa.text("select run from build")).scalar())))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        write_label_file(tmp_path, Plan(f"run-{number}"))
        time.sleep(0.1)
    ended.set()
    for thread in threads:
        thread.join()
    assert {run for run, _ in answered} >= {"run-0", "run-5"}
    assert all(run == read for run, read in answered)
