"""Which models are loaded, within which memory, and what is said of those that are not."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch

from neuronym.settings import Settings
from tests.checkpoints import configurations, make_checkpoint
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.stored import LoadProgress
from worker.errors import CheckpointError
from worker.machine.device import choose_device, model_memory, precision
from worker.steering.few_rows import FewRowsLinear
from worker.steering.models import LiveModel, LiveModels, Opener, UnknownModel, footprint, load

CPU = torch.device("cpu")
NAMES = ("one", "two", "three")


@pytest.fixture(scope="session")
def openers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Opener]:
    """Three tiny models of one size."""
    folders = {name: make_checkpoint(tmp_path_factory.mktemp(name), seed=n) for n, name in enumerate(NAMES)}
    return {name: partial(open_checkpoint, str(folder)) for name, folder in folders.items()}


@pytest.fixture
def size(openers: Mapping[str, Opener]) -> int:
    """Bytes of one of them."""
    return footprint(openers["one"](), CPU)


def states(models: LiveModels) -> dict[str, str]:
    """What each model is doing."""
    return {model.name: model.state for model in models.status()}


def test_a_model_is_loaded_when_it_is_asked_for_and_kept(openers: Mapping[str, Opener], size: int) -> None:
    models = LiveModels(openers, CPU, 10 * size)
    assert models.ready("one") is None
    live = models.get("one")
    assert models.ready("one") is live
    assert models.get("one") is live
    assert states(models) == {"one": "ready", "two": "available", "three": "available"}


def test_the_least_recently_used_makes_room(openers: Mapping[str, Opener], size: int) -> None:
    models = LiveModels(openers, CPU, 2 * size)
    for name in ("one", "two", "one", "three"):
        models.get(name)
    assert states(models) == {"one": "ready", "two": "available", "three": "ready"}


def test_shrinking_keeps_the_one_in_use(openers: Mapping[str, Opener], size: int) -> None:
    models = LiveModels(openers, CPU, 3 * size)
    for name in ("one", "two", "three", "two"):
        models.get(name)
    models.shrink()
    assert states(models) == {"one": "available", "two": "ready", "three": "available"}


def test_a_model_larger_than_all_the_memory_is_refused(openers: Mapping[str, Opener], size: int) -> None:
    models = LiveModels(openers, CPU, size - 1)
    with pytest.raises(CheckpointError, match=r"one needs .* GB, but live models may take .* NEURONYM_MODEL_MEMORY"):
        models.get("one")
    assert states(models)["one"] == "failed"


def test_while_it_loads_a_model_says_so(openers: Mapping[str, Opener], size: int) -> None:
    seen: list[dict[str, str]] = []

    def watched() -> Checkpoint:
        seen.append(states(models))
        return openers["one"]()

    models = LiveModels({"one": watched}, CPU, size)
    models.get("one")
    assert seen == [{"one": "loading"}]


def test_while_it_loads_a_model_says_how_far_it_is(
    openers: Mapping[str, Opener], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = LiveModels(openers, CPU, size)
    seen: list[float] = []

    def watched(name: str, checkpoint: Checkpoint, device: torch.device, progress: LoadProgress) -> LiveModel:
        def tell(share: float) -> None:
            progress(share)
            seen.append(models.loaded("one"))
            assert models.status()[0].loaded == share

        return load(name, checkpoint, device, tell)

    monkeypatch.setattr("worker.steering.models.load", watched)
    assert models.loaded("one") == 0
    models.get("one")
    assert len(seen) > 10
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 1)
    assert models.loaded("one") == 0


def test_a_failure_is_told_and_tried_again(openers: Mapping[str, Opener], size: int, tmp_path: Path) -> None:
    remaining_openers: list[Opener] = [partial(open_checkpoint, str(tmp_path / "gone")), openers["one"]]
    models = LiveModels({"one": lambda: remaining_openers.pop(0)()}, CPU, size)
    with pytest.raises(CheckpointError, match="There is no folder or file"):
        models.get("one")
    [status] = models.status()
    assert status.state == "failed"
    assert status.error is not None and "There is no folder or file" in status.error
    models.get("one")
    assert models.status()[0].error is None


@pytest.mark.parametrize(("names", "sentence"), [(NAMES, "There are: one, two, three"), ((), "map one first")])
def test_an_unknown_name_is_told_what_there_is(
    openers: Mapping[str, Opener], names: tuple[str, ...], sentence: str
) -> None:
    models = LiveModels({name: openers[name] for name in names}, CPU, 1)
    with pytest.raises(UnknownModel, match=f"There is no model 'four'.*{sentence}"):
        models.ready("four")


@pytest.mark.parametrize("family", configurations())
def test_the_footprint_is_known_before_loading(family: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(make_checkpoint(tmp_path, family)))
    live = load(family, checkpoint, CPU)
    assert footprint(checkpoint, CPU) == live.size
    assert (live.sites.layers, live.sites.neurons) == (checkpoint.layers, checkpoint.neurons)
    assert live.stop == {2}
    assert isinstance(live.model.get_submodule("lm_head"), FewRowsLinear)


def test_the_device_is_what_the_setting_names() -> None:
    assert choose_device("cpu") == CPU
    with pytest.raises(ValueError, match="NEURONYM_DEVICE=abacus"):
        choose_device("abacus")


def test_bf16_is_for_gpus_that_are_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for made_for_it, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda supported=made_for_it, **_: supported)
        assert precision(torch.device("cuda")) is expected
        assert precision(CPU) is torch.float32


def test_memory_is_what_is_set_or_half_of_what_there_is() -> None:
    assert model_memory(Settings.model_validate({"model_memory": "3GB"}), CPU) == 3_000_000_000
    assert 0 < model_memory(Settings(), CPU) < 2**50
