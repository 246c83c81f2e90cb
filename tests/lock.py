"""lock.txt as data, and as a program: which installed packages are of another version than it says."""

from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

LOCK = Path(__file__).resolve().parent.parent / "lock.txt"


def requirements() -> list[Requirement]:
    """The lines of the lock, comments left out."""
    return [Requirement(line) for line in LOCK.read_text().splitlines() if not line.startswith("#")]


def locked(machine: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name to version on one machine, given by the names of environment markers; on this one by default."""
    return {
        canonicalize_name(one.name): next(iter(one.specifier)).version
        for one in requirements()
        if one.marker is None or one.marker.evaluate(None if machine is None else dict(machine))
    }


def differences() -> dict[str, tuple[str, str]]:
    """Name to the version locked and the version installed, where they differ; builds of one version do not."""
    pinned = locked()
    installed = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions()}
    return {
        name: (pinned[name], version)
        for name, version in sorted(installed.items())
        if name in pinned and Version(version).public != pinned[name]
    }


if __name__ == "__main__":
    for package, (was, now) in differences().items():
        print(f"{package}: {was} in the lock, {now} here")  # noqa: T201
