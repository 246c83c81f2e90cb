"""The demo pair, mapped once for all tests in a process of its own, while tests that do not need it run.

`python -m tests.demo_pair FOLDER` maps it into the folder, and writes `ended` when that has succeeded or failed.
"""

import subprocess
import sys
import time
import traceback
from pathlib import Path

from filelock import FileLock

from neuronym.settings import Settings
from worker.map_run import MapRun
from worker.mapping.pairs import DEMO_PAIR, KNOWN_PAIRS

PATIENCE = 580.0  # seconds; under two processes of tests the mapping takes about five minutes


def begin(data: Path) -> subprocess.Popen[bytes] | None:
    """Begin to map into `data`; None if that has been begun, by this process of tests or another."""
    with FileLock(data.with_suffix(".lock")):
        if data.exists():
            return None
        data.mkdir()
    return subprocess.Popen([sys.executable, "-m", "tests.demo_pair", str(data)])


def wait(data: Path) -> None:
    """Wait until `data` is mapped; fail with what the mapping failed with."""
    deadline = time.monotonic() + PATIENCE
    while not (data / "ended").exists():
        assert time.monotonic() < deadline, "the demo pair was not mapped in time"
        time.sleep(0.1)
    assert not (data / "ended").read_text(), (data / "ended").read_text()


def main(data: Path) -> None:
    """Map the demo pair into `data`."""
    pair, failure = KNOWN_PAIRS[DEMO_PAIR], ""
    try:
        MapRun(Settings(data=data)).map_pair(pair.base, pair.instruct, pair=DEMO_PAIR, note=pair.note or "")
    except BaseException:
        failure = traceback.format_exc()
        raise
    finally:
        (data / "ending").write_text(failure)
        (data / "ending").rename(data / "ended")  # so that nobody reads half of it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
