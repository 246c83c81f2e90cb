"""Fixtures shared by all tests: a tiny checkpoint."""

from pathlib import Path

import pytest

from tests.checkpoints import make_checkpoint


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 4-layer Llama with tied head and chat template."""
    return make_checkpoint(tmp_path_factory.mktemp("tiny-llama"))
