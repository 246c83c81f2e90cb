"""The README's tree and docs/architecture.md name every package and no other, and steps whose functions are there."""

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

from neuronym.settings import ROOT

README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
LIVES = ["a search", "a weight row", "a clamp"]
PLACES = re.compile(r"`([\w/]+\.py):([\w.]+)`")  # a module and what is in it


def packages(root: Path = ROOT) -> set[str]:
    """Folders of modules in the three packages."""
    files = [file for package in ("neuronym", "app", "worker") for file in (root / package).rglob("*.py")]
    return {f"{file.parent.relative_to(root)}/" for file in files}


def tree_of(readme: str) -> str:
    """The tree under "Where to look"."""
    return readme.partition("## Where to look")[2].split("```")[1]


def in_tree(tree: str) -> set[str]:
    """The folders that a tree names: one at the left, and those indented under it."""
    folders, top = set(), ""
    for line in filter(None, tree.splitlines()):
        if not line.startswith(" "):
            top = line.split("/")[0] + "/"
            folders.add(top)
        folders |= {top + name for name in re.findall(r"  ((?:\w+/)+)(?=  |$)", line)}
    return folders


def in_table(text: str) -> list[str]:
    """The packages that have a row."""
    return re.findall(r"^\| `(\S+)` \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)


def steps(life: str) -> list[str]:
    """The numbered steps of one life."""
    section = ARCHITECTURE.partition(f"## The life of {life}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. .*(?:\n   .*)*", section, re.MULTILINE)


def test_the_tree_in_the_readme_names_every_package_and_no_other() -> None:
    folders = in_tree(tree_of(README))
    others = {f"{file.parent.name}/" for file in ROOT.glob("*/__init__.py")}
    assert packages() | others <= folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_the_table_has_a_row_for_every_package_and_no_other() -> None:
    rows = in_table(ARCHITECTURE)
    assert len(rows) == len(set(rows))
    assert set(rows) == packages()


def test_a_tree_that_differs_is_noticed(tmp_path: Path) -> None:
    tree = tree_of(README)
    lens, playground = "  lens/ ", "pages/playground/"
    assert lens in tree and playground in tree
    assert in_tree(tree) - in_tree(tree.replace(lens, "  ")) == {"worker/lens/"}
    assert in_tree(tree.replace(lens, "  prism/ ")) - in_tree(tree) == {"worker/prism/"}
    assert in_tree(tree) - in_tree(tree.replace(playground, "")) == {"app/pages/playground/"}
    (tmp_path / "app" / "rooms").mkdir(parents=True)
    (tmp_path / "app" / "rooms" / "door.py").touch()
    assert packages(tmp_path) == {"app/rooms/"}


@pytest.mark.parametrize("life", LIVES)
def test_a_life_goes_step_by_step_through_functions_that_are_there(life: str) -> None:
    numbers = [int(step.split(".")[0]) for step in steps(life)]
    assert len(numbers) > 8 and numbers == list(range(1, len(numbers) + 1))
    for step in steps(life):
        assert PLACES.search(step), step


@pytest.mark.parametrize(("file", "name"), sorted(set(PLACES.findall(ARCHITECTURE))))
def test_what_architecture_names_is_there(file: str, name: str) -> None:
    assert (ROOT / file).is_file()
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    found = reduce(getattr, name.split("."), module)
    assert getattr(found, "callback", found).__module__ == module.__name__, "it is defined elsewhere"


def test_every_path_that_the_docs_name_is_there() -> None:
    for text in (ARCHITECTURE, CONTRIBUTING):
        named = re.findall(r"`((?:neuronym|app|worker|frontend|migrations|tests|scripts|docs)/[\w./]*)[`:]", text)
        assert named
        assert [path for path in named if not (ROOT / path).exists()] == []


def test_contributing_says_where_to_begin_a_change_and_where_its_test_is() -> None:
    table = CONTRIBUTING.partition("## Where do I change")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(lines) >= 12
    assert [line for line in lines if not re.fullmatch(r"\| .+ \| `.+` \| `tests/.+` \|", line)] == []


def test_architecture_is_found() -> None:
    for text in (README, CONTRIBUTING):
        assert "](docs/architecture.md)" in text
