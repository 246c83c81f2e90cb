"""Fixtures shared by all tests: a tiny checkpoint, its label file, and the real demo model's."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from neuronym.settings import Settings
from tests.checkpoints import make_checkpoint
from worker.map_run import MapRun
from worker.mapping.pairs import DEMO_PAIR, KNOWN_PAIRS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests last: once Playwright runs, its event loop stays in this thread, and no other can start."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 4-layer Llama with tied head and chat template."""
    return make_checkpoint(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def data_folder(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose label file holds `tiny_llama`, mapped as `tiny`."""
    data = tmp_path_factory.mktemp("data")
    MapRun(Settings(data=data)).map([str(tiny_llama)], ["tiny"])
    return data


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the demo pair mapped; NEURONYM_DEMO_DATA names one that is ready, to save the minutes.

    Processes that run tests side by side share one: the first maps it, the others wait.
    """
    ready = os.environ.get("NEURONYM_DEMO_DATA")
    if ready:
        return Path(ready)
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    shared = tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent
    data = shared / "demo-data"
    with FileLock(shared / "demo-data.lock"):
        if not (data / "current").exists():
            pair = KNOWN_PAIRS[DEMO_PAIR]
            MapRun(Settings(data=data)).map_pair(pair.base, pair.instruct, pair=DEMO_PAIR, note=pair.note or "")
    return data
