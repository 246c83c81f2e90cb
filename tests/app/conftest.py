"""Fixtures of the app's tests: a planted label file, and the app on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.labelfile.catalog import Catalog
from app.labelfile.library import Library
from app.main import create_app
from neuronym.contract import Lens, View
from neuronym.settings import Settings
from tests.app.label_files import Plan, write_library
from tests.app.pair_files import PairFile, write_pairs
from tests.checkpoints import make_checkpoint
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe


@pytest.fixture(scope="session")
def planted_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the planted label file."""
    data = tmp_path_factory.mktemp("planted")
    write_library(data)
    return data


@pytest.fixture(scope="session")
def labels(planted_data: Path) -> Iterator[Library]:
    """The planted label file, open."""
    yield from opened(planted_data)


@pytest.fixture(scope="session")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A label file without pairs."""
    data = tmp_path_factory.mktemp("unpaired")
    write_library(data, Plan(top={("tiny-chat", View.up, Lens.cosine, 0, 0): [(" dog", 9.0)]}, pairs=False))
    yield from opened(data)


def opened(data: Path) -> Iterator[Library]:
    """The current label file of a data folder, while it is needed."""
    catalog = Catalog(Settings(data=data))
    yield catalog.current()
    catalog.close()


@pytest.fixture(scope="session")
def client(planted_data: Path) -> Iterator[TestClient]:
    """The app on the planted label file, without a worker."""
    with TestClient(create_app(Settings(data=planted_data)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> PairFile:
    """The label file of real tiny checkpoints with planted changes, mapped as pairs."""
    return PairFile(write_pairs(tmp_path_factory.mktemp("pairs")))


@pytest.fixture(scope="session")
def paired_client(pairs: PairFile) -> Iterator[TestClient]:
    """The app on the label file of `pairs`, without a worker."""
    with TestClient(create_app(Settings(data=pairs.data)), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def paired(pairs: PairFile) -> Iterator[Library]:
    """The label file of `pairs`, open."""
    yield from opened(pairs.data)


@pytest.fixture(scope="session")
def partly_paired(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A pair that is mapped under one view and lens alone."""
    folder = tmp_path_factory.mktemp("partly")
    other = make_checkpoint(folder / "b", seed=1)
    recipe = MapRecipe((View.up,), (Lens.logit,))
    MapRun(Settings(data=folder / "data"), recipe).map_pair(str(tiny_llama), str(other), ["a", "b"])
    yield from opened(folder / "data")
