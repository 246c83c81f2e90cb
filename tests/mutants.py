"""Mutation testing: change the code in small ways, one at a time, and list the changes that no test notices.

    python -m tests.mutants [--most N] [--seed N] [PACKAGE OR MODULE ...]

Cosmic Ray makes the changes, in a copy of the tree. The tests of `app/web` are those under `tests/app/web`. Each change
takes a run of these, so a sample of `--most` is tried; the seed of the day makes it another one tomorrow.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AREAS = ("app/queries", "app/web", "worker/lens", "worker/steering")
MOST = 100  # changes tried in each area
PATIENCE = 300  # seconds a change may take before it counts as noticed: it may have made a loop endless
OF_TYPES = "core/ReplaceBinaryOperator_BitOr"  # `int | None` says nothing that a test could notice


def where_tested(area: str, root: Path = ROOT) -> str:
    """Where the tests of a package or module lie: the nearest folder or file of the same name."""
    place = Path("tests") / area
    if place.suffix == ".py":
        place = place.with_name(f"test_{place.name}")
        if not (root / place).exists():
            place = place.parent
    while not (root / place).exists():
        place = place.parent
    return place.as_posix()


def copied(root: Path, to: Path) -> Path:
    """A copy of all that git knows of, and of what npm installed."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, to / name)
    installed = root / "frontend" / "node_modules"
    if installed.exists():
        (to / "frontend" / "node_modules").symlink_to(installed.resolve())
    return to


def write_settings(folder: Path, area: str) -> Path:
    """What Cosmic Ray is to do with one area."""
    tests = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {where_tested(area, folder)}"
    settings = folder / "mutants.toml"
    settings.write_text(
        f'[cosmic-ray]\nmodule-path = "{area}"\ntimeout = {PATIENCE}.0\nexcluded-modules = []\n'
        f'test-command = "{tests}"\n[cosmic-ray.distributor]\nname = "local"\n'
    )
    return settings


def leave_out(session: Path, most: int, seed: int) -> int:
    """Skip all changes but a sample of `most`; returns how many are left to try."""
    from cosmic_ray.work_db import WorkDB, use_db  # only here: this module's own tests do without
    from cosmic_ray.work_item import WorkerOutcome, WorkResult

    with use_db(str(session), WorkDB.Mode.open) as changes:
        items = {item.job_id: item.mutations[0] for item in changes.work_items}
        worth = sorted(
            (str(one.module_path), one.operator_name, one.occurrence, job)
            for job, one in items.items()
            if not one.operator_name.startswith(OF_TYPES)
        )
        tried = {job for *_, job in random.Random(seed).sample(worth, min(most, len(worth)))}
        changes.set_multiple_results(
            [job for job in items if job not in tried], WorkResult(worker_outcome=WorkerOutcome.SKIPPED)
        )
    return len(tried)


def survivors(dump: str) -> Iterator[str]:
    """The changes that no test noticed, as diffs, from what Cosmic Ray tells of a session."""
    for line in dump.splitlines():
        _, result = json.loads(line)
        if result and result["test_outcome"] == "survived":
            yield result["diff"]


def tried(area: str, most: int, seed: int, root: Path = ROOT) -> list[str]:
    """Change one area in a copy of `root`; the diffs that survived its tests."""
    command = [sys.executable, "-m", "cosmic_ray.cli"]
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(root, Path(folder))
        settings, session = write_settings(copy, area), copy / "mutants.sqlite"
        subprocess.run([*command, "init", settings.name, session.name], cwd=copy, check=True)
        count = leave_out(session, most, seed)
        subprocess.run([*command, "baseline", settings.name], cwd=copy, check=True)  # the tests pass as it is
        subprocess.run([*command, "exec", settings.name, session.name], cwd=copy, check=True)
        dump = subprocess.run([*command, "dump", session.name], cwd=copy, check=True, capture_output=True, text=True)
        left = list(survivors(dump.stdout))
    print("".join(f"\n{diff}\n" for diff in left))  # noqa: T201
    print(f"{area}: {len(left)} of {count} changes were not noticed by {where_tested(area, root)}.")  # noqa: T201
    return left


def main(arguments: Sequence[str] | None = None) -> None:
    """Try every area that is asked for."""
    asked = argparse.ArgumentParser(description="List small changes of the code that no test notices.")
    asked.add_argument("areas", nargs="*", default=AREAS, help=f"packages or modules [{' '.join(AREAS)}]")
    asked.add_argument("--most", type=int, default=MOST, help=f"changes tried in each [{MOST}]")
    asked.add_argument("--seed", type=int, default=datetime.now(UTC).toordinal(), help="which sample [the day's]")
    given = asked.parse_args(arguments)
    for area in given.areas:
        tried(area, given.most, given.seed)


if __name__ == "__main__":
    main()
