"""What is imported is declared where it is imported: a web server must not need what only a worker installs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuronym.settings import ROOT

OURS = ["neuronym", "app", "worker", "migrations", "scripts", "benchmarks"]
EXTRAS = {
    "neuronym": "worker,ray,train,dev",
    "app": "worker,ray,train,dev",  # extras that these packages may not use
    "worker": "ray,train,dev",
    "migrations": "ray,train,dev",
    "scripts": "ray,dev",
    "benchmarks": "ray,train,dev",
}
OF_AN_EXTRA = ["worker/mapping/(ray_engine|ray_task)"]  # what only an extra runs, and is asked for by name
UNSEEN = "duckdb-sqlalchemy|python-multipart"  # loaded by the libraries that need them, by name


def complaints(root: Path, package: str, *options: str) -> set[str]:
    """What deptry says of one package, a sentence each."""
    command = [sys.executable, "-m", "deptry", package, "--no-ansi", *(f"--known-first-party={name}" for name in OURS)]
    done = subprocess.run([*command, *options], cwd=root, capture_output=True, text=True, check=False)
    return set(re.findall(r"DEP\d+ .*", done.stderr + done.stdout))


def undeclared(root: Path, package: str) -> set[str]:
    """Imports of a package that it has no right to."""
    optional = f"--optional-dependencies-dev-groups={EXTRAS[package]}"
    spared = [f"--extend-exclude={part}" for part in OF_AN_EXTRA]
    return complaints(root, package, optional, "--ignore=DEP002", *spared)


@pytest.mark.parametrize("package", OURS)
def test_imports_are_declared(package: str) -> None:
    assert undeclared(ROOT, package) == set()


def test_what_is_declared_is_used() -> None:
    everything = [f"--per-rule-ignores=DEP002={UNSEEN}", "--optional-dependencies-dev-groups=dev"]
    done = complaints(ROOT, "neuronym", "app", "worker", "migrations", "scripts", *everything)
    assert done == set()


@pytest.mark.parametrize(
    ("package", "line", "said"),
    [
        ("app", "import numpy", "DEP004 'numpy' imported but declared as a dev dependency"),
        ("worker", "import peft", "DEP004 'peft' imported but declared as a dev dependency"),
        ("worker", "from accelerate import Accelerator", "DEP003 'accelerate' imported but it is a transitive"),
        ("app", "import httpcore2", "DEP003 'httpcore2' imported but it is a transitive dependency"),
    ],
)
def test_a_stray_import_is_caught(tmp_path: Path, package: str, line: str, said: str) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(f"{line}\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert any(one.startswith(said) for one in undeclared(tmp_path, package))
