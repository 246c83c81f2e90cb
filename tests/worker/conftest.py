"""Fixtures of the worker's live side: tiny models of every family, loaded as the service loads them."""

import pytest
import torch

from tests.checkpoints import configurations, make_checkpoint
from worker.checkpoints.checkpoint import open_checkpoint
from worker.steering.models import LiveModel, load

FAMILIES = list(configurations())


@pytest.fixture(scope="session", params=FAMILIES)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LiveModel:
    """A live tiny model; a test that takes it runs once a family."""
    return _load(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> LiveModel:
    """A live tiny Llama."""
    return _load("llama", tmp_path_factory)


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> LiveModel:
    """A live tiny GPT-2, whose MLP has no gate."""
    return _load("gpt2", tmp_path_factory)


def _load(family: str, folders: pytest.TempPathFactory) -> LiveModel:
    checkpoint = open_checkpoint(str(make_checkpoint(folders.mktemp(family), family)))
    return load(family, checkpoint, torch.device("cpu"))
