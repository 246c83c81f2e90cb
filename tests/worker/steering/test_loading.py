"""How much of a model is loaded, as it is told while it loads."""

from pathlib import Path

import pytest
import torch

from worker.checkpoints.checkpoint import open_checkpoint
from worker.steering.loading import Loading

CPU = torch.device("cpu")


class Noted(Loading):
    """Keeps every share there was."""

    def __init__(self) -> None:
        super().__init__("noted")
        self.shares: list[float] = []

    def __setattr__(self, name: str, value: object) -> None:
        if name == "share" and isinstance(value, float) and "shares" in vars(self):
            self.shares.append(value)
        super().__setattr__(name, value)


def loaded(spec: str, bars: int) -> list[float]:
    """The shares told while a checkpoint loads."""
    checkpoint, noted = open_checkpoint(spec), Noted()
    with noted.watched(bars):
        checkpoint.load(CPU, torch.float32)
    said = len(noted.shares)
    checkpoint.load(CPU, torch.float32)
    assert len(noted.shares) == said  # nobody listens any more
    return noted.shares


def test_the_share_grows_to_the_whole(tiny_llama: Path) -> None:
    shares = loaded(str(tiny_llama), bars=1)
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


@pytest.mark.real
def test_a_packed_file_is_unpacked_and_then_loaded() -> None:
    shares = loaded("demo", bars=2)
    assert len(shares) > 200
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
