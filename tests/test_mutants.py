"""Mutation testing finds a change that no test notices, and knows where the tests of a module lie."""

import subprocess
from pathlib import Path

import pytest

from neuronym.settings import ROOT
from tests.mutants import AREAS, copied, tried, where_tested

TALL = "def tall(metres: int) -> bool:\n    return metres > 10\n"
ASKED = "from house.tall import tall\n\n\ndef test_tall() -> None:\n    assert tall(11) and not tall(2)\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository of one module, whose test asks for nothing between 2 and 11."""
    for name, text in (("house/tall.py", TALL), ("tests/house/test_tall.py", ASKED), ("left_alone.txt", "")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for command in (["init", "--quiet"], ["add", "house", "tests"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_changes_that_no_test_notices_are_listed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cosmic_ray")
    found = tried("house/tall.py", most=100, seed=0, root=tree)
    changed = {line for diff in found for line in diff.splitlines() if line.startswith("+ ")}
    assert "+    return metres > 9" in changed  # 10 or 9: nobody asks
    assert "+    return metres < 10" not in changed and "+    return metres > 11" not in changed
    assert f"{len(found)} of " in capsys.readouterr().out
    assert (tree / "house" / "tall.py").read_text() == TALL


def test_a_copy_has_what_git_knows_of(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = copied(tree, tmp_path_factory.mktemp("copy"))
    files = {str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()}
    assert files == {"house/tall.py", "tests/house/test_tall.py"}


@pytest.mark.parametrize(
    ("area", "tests"),
    [
        ("app/queries", "tests/app/queries"),
        ("app/web/auth.py", "tests/app/web/test_auth.py"),
        ("app/queries/search/rows.py", "tests/app/queries/search"),  # it has no file of its own
        ("worker/machine/cores.py", "tests/worker"),
    ],
)
def test_where_the_tests_of_an_area_lie(area: str, tests: str) -> None:
    assert where_tested(area) == tests


def test_every_area_has_tests_of_its_own() -> None:
    assert all((ROOT / area).is_dir() and where_tested(area) == f"tests/{area}" for area in AREAS)
