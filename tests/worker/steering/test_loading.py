"""How much of a model is loaded, as it is told while it loads."""

from pathlib import Path

import gguf
import pytest
import torch
from transformers import PreTrainedModel
from transformers import modeling_gguf_pytorch_utils as gguf_reading

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


def loaded(spec: str) -> tuple[list[float], PreTrainedModel]:
    """The shares told while a checkpoint is opened and loaded, and what was loaded."""
    noted = Noted()
    with noted.watched():
        model, _ = open_checkpoint(spec).load(CPU, torch.float32)
    return noted.shares, model


def test_the_share_grows_to_the_whole(tiny_llama: Path) -> None:
    shares, _ = loaded(str(tiny_llama))
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)


def test_afterwards_nobody_listens(tiny_llama: Path) -> None:
    names = (vars(gguf)["GGUFReader"], vars(gguf_reading)["tqdm"])
    noted = Noted()
    with pytest.raises(ZeroDivisionError), noted.watched():
        assert vars(gguf)["GGUFReader"] is not names[0]
        raise ZeroDivisionError
    assert (vars(gguf)["GGUFReader"], vars(gguf_reading)["tqdm"]) == names
    open_checkpoint(str(tiny_llama)).load(CPU, torch.float32)
    assert noted.shares == []


@pytest.mark.real
def test_a_gguf_file_is_opened_once_and_gives_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path: str) -> None:
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    shares, model = loaded("demo")
    assert len(opened) == 1
    assert len(shares) > 200
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(1 / 5)
    assert shares[-1] == 1
    alone, _ = open_checkpoint("demo").load(CPU, torch.float32)
    for one, other in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(one, other)
