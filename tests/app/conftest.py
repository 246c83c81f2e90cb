"""Fixtures of the app's tests: a planted label file, and the app on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.catalog import Catalog, LabelFile
from app.main import create_app
from app.settings import Settings
from tests.app.label_files import write_label_file


@pytest.fixture(scope="session")
def planted_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the planted label file."""
    data = tmp_path_factory.mktemp("planted")
    write_label_file(data)
    return data


@pytest.fixture(scope="session")
def labels(planted_data: Path) -> Iterator[LabelFile]:
    """The planted label file, open."""
    catalog = Catalog(Settings(data=planted_data))
    yield catalog.current()
    catalog.close()


@pytest.fixture(scope="session")
def client(planted_data: Path) -> Iterator[TestClient]:
    """The app on the planted label file, without a worker."""
    with TestClient(create_app(Settings(data=planted_data)), raise_server_exceptions=False) as client:
        yield client
