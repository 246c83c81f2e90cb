"""Fixtures shared by all tests: a tiny checkpoint, its label file, and the real demo model's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuronym.settings import Settings
from tests import demo_pair
from tests.checkpoints import make_checkpoint
from worker.map_run import MapRun


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the mapped demo pair late, since it is mapped meanwhile. Browser tests last.

    Once Playwright runs, its event loop stays in this thread, and no other can start.
    """
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, _needs_demo_data(item)))


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


@pytest.fixture(scope="session", autouse=True)
def _demo_mapping(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """The folder into which the demo pair is being mapped, from the first test on; None if no test asks for it.

    Processes that run tests side by side share one.
    """
    if "NEURONYM_DEMO_DATA" in os.environ or not any(map(_needs_demo_data, request.session.items)):
        yield None
        return
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    data = (tmp_path_factory.getbasetemp() if alone else tmp_path_factory.getbasetemp().parent) / "demo-data"
    process = demo_pair.begin(data)
    yield data
    if process and alone:
        process.terminate()  # nobody waits for it any more, as others may where tests run side by side
    if process:
        process.wait(demo_pair.PATIENCE)


@pytest.fixture(scope="session")
def demo_data(_demo_mapping: Path | None) -> Path:
    """A data folder with the demo pair mapped; NEURONYM_DEMO_DATA names one that is ready, to save the minutes."""
    if _demo_mapping is None:
        return Path(os.environ["NEURONYM_DEMO_DATA"])
    demo_pair.wait(_demo_mapping)
    return _demo_mapping


def _needs_demo_data(item: pytest.Item) -> bool:
    return "demo_data" in getattr(item, "fixturenames", ())
