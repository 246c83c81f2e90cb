"""The laws of the house hold, and each of them is noticed when it is broken.

Laws 1 to 6 are contracts of import-linter in pyproject.toml, the seventh is a ban of ruff's. The eighth, that the
README's tree is that of the packages, is in `test_architecture.py`.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neuronym.settings import ROOT

PACKAGES = ["neuronym", "app", "worker"]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS = [contract["name"] for contract in SETTINGS["importlinter"]["contracts"]]
MAY_OPEN = {"app/labelfile/database.py", "worker/labelfile/label_file.py", "tests/*"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all that the contracts are about."""
    copy = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            (copy / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy / file.relative_to(ROOT))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def verdicts(root: Path) -> dict[str, str]:
    """Each contract's verdict by its name, or what import-linter says where it cannot judge one."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout
    kept = dict(re.findall(r"^(\d\..*) (KEPT|BROKEN)$", said, re.MULTILINE))
    return kept or {"import-linter": said}


@contextmanager
def added(file: Path, line: str) -> Iterator[None]:
    """One more line at the end of a file; a file that was not there is gone again afterwards."""
    before = file.read_text() if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{before or ''}\n{line}\n")
    try:
        yield
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)


def test_the_contracts_are_laws_one_to_six_and_the_tree_keeps_them(house: Path) -> None:
    assert [name[:2] for name in CONTRACTS] == ["1.", "2.", "3.", "4.", "5.", "6."]
    assert verdicts(house) == dict.fromkeys(CONTRACTS, "KEPT")


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("worker/errors.py", "import app.errors", "1"),
        ("app/errors.py", "import worker.errors", "1"),
        ("app/errors.py", "import worker.lens.exact", "13"),  # torch comes with it
        ("neuronym/access.py", "import app.errors", "12"),
        ("neuronym/access.py", "import worker.errors", "12"),
        ("neuronym/access.py", "import torch", "23"),  # and the app reaches it through neuronym
        ("neuronym/contract/words.py", "import transformers", "23"),
        ("app/errors.py", "def load() -> None:\n    import transformers", "3"),  # late, but imported all the same
        ("neuronym/access.py", "import alembic", "3"),
        ("app/labelfile/deadline.py", "import app.queries.sql", "4"),
        ("app/queries/sql.py", "import app.html.urls", "4"),
        ("app/new.py", "", "4"),  # a module that no layer is given
        ("worker/lens/exact.py", "import worker.mapping.mapping", "5"),
        ("worker/labelfile/read.py", "import worker.measuring.summary", "5"),
        ("worker/new.py", "", "5"),
        ("app/main.py", "from app.pages.playground import state", "6"),
    ],
)
def test_a_stray_import_is_noticed(house: Path, file: str, line: str, broken: str) -> None:
    with added(house / file, line):
        found = verdicts(house)
    assert {name for name, verdict in found.items() if verdict != "KEPT"} == {
        name for name in CONTRACTS if name[0] in broken
    }


def complaints(file: str, source: str) -> list[str]:
    """What ruff says of the seventh law when `source` is the text of `file`."""
    command = [sys.executable, "-m", "ruff", "check", "--select=TID251", "--output-format=concise", "--no-cache"]
    done = subprocess.run(
        [*command, f"--stdin-filename={file}", "-"], cwd=ROOT, input=source, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return re.findall(r"TID251 `([\w.]+)` is banned", done.stdout)


OPENINGS = {
    "import duckdb\n\nfile = duckdb.connect('labels.duckdb')\n": "duckdb.connect",
    "from duckdb import connect\n": "duckdb.connect",
    "import sqlalchemy as sa\n\nengine = sa.create_engine('duckdb:///labels.duckdb')\n": "sqlalchemy.create_engine",
    "from sqlalchemy import create_engine as opened\n": "sqlalchemy.create_engine",
}


@pytest.mark.parametrize("file", ["app/health.py", "worker/labelfile/read.py", "neuronym/http.py", "migrations/env.py"])
@pytest.mark.parametrize("source", OPENINGS)
def test_nothing_else_opens_a_label_file(file: str, source: str) -> None:
    assert complaints(file, source) == [OPENINGS[source]]


@pytest.mark.parametrize("file", ["app/labelfile/database.py", "worker/labelfile/label_file.py", "tests/test_laws.py"])
def test_what_opens_label_files_may(file: str) -> None:
    assert [complaints(file, source) for source in OPENINGS] == [[]] * len(OPENINGS)


def test_no_file_is_spared_the_seventh_law_but_those() -> None:
    spared = SETTINGS["ruff"]["lint"]["per-file-ignores"]
    assert {file for file, rules in spared.items() if "TID251" in rules} == MAY_OPEN
    marked = [
        file
        for package in [*PACKAGES, "scripts", "migrations", "benchmarks"]
        for file in (ROOT / package).rglob("*.py")
        if re.search(r"noqa(?!: (?!.*TID251))", file.read_text())
    ]
    assert marked == []
