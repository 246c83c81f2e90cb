"""Models loaded on demand within a memory budget; the least recently used one is unloaded to make room.

Call `get` only on the thread that owns the models; `ready` and `status` may be called from any thread.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from neuronym.contract import WorkerModel
from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.shape import empty_model
from worker.checkpoints.stored import LoadProgress, no_progress
from worker.errors import CheckpointError, first_line
from worker.machine.device import precision
from worker.steering.clamp import Sites
from worker.steering.codec import Codec
from worker.steering.few_rows import use_few_rows_linear
from worker.steering.thread import free_memory

log = logging.getLogger(__name__)
Opener = Callable[[], Checkpoint]
GB = 1e9


class UnknownModel(LookupError):
    """There is no model of this name. The message says which there are."""


@dataclass(frozen=True)
class LiveModel:
    """A loaded model with the facts that a run needs."""

    name: str
    model: PreTrainedModel = field(repr=False)
    codec: Codec
    sites: Sites
    stop: frozenset[int]
    context: int  # positions it can attend to
    vocab: int  # rows of its embedding
    size: int  # bytes


class LiveModels:
    """The models this worker can clamp. An opener is called each time its model is loaded."""

    def __init__(self, openers: Mapping[str, Opener], device: torch.device, budget: int) -> None:
        self.device = device
        self._openers = openers
        self._budget = budget
        self._live: OrderedDict[str, LiveModel] = OrderedDict()  # least recently used first
        self._loading: str | None = None
        self._share = 0.0
        self._failed: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """Every model, loaded or not."""
        return list(self._openers)

    def ready(self, name: str) -> LiveModel | None:
        """Get the model if it is loaded.

        Raises:
            UnknownModel: there is no model of this name.
        """
        if name not in self._openers:
            known = f"There are: {', '.join(self._openers)}." if self._openers else "There are none: map one first."
            raise UnknownModel(f"There is no model {name!r}. {known}")
        return self._live.get(name)

    def loaded(self, name: str) -> float:
        """The share of a model that is loaded so far; 0 for a model that is not loading."""
        return self._share if self._loading == name else 0.0

    def status(self) -> list[WorkerModel]:
        """The state of each model."""
        return [self._status(name) for name in self._openers]

    def get(self, name: str) -> LiveModel:
        """Get the model; load it first if it is not loaded.

        Raises:
            CheckpointError: the checkpoint cannot be opened, or is larger than the memory budget.
        """
        live = self.ready(name) or self._load(name)
        self._live[name] = live
        self._live.move_to_end(name)
        return live

    def shrink(self) -> None:
        """Unload all but the most recently used model."""
        while len(self._live) > 1:
            self._unload_oldest()

    def _status(self, name: str) -> WorkerModel:
        if self._loading == name:
            return WorkerModel(name=name, state="loading", loaded=self.loaded(name))
        if name in self._live:
            return WorkerModel(name=name, state="ready")
        error = self._failed.get(name)
        return WorkerModel(name=name, state="failed" if error else "available", error=error)

    def _load(self, name: str) -> LiveModel:
        self._share = 0.0
        self._loading = name
        try:
            checkpoint = self._openers[name]()
            self._make_room(name, footprint(checkpoint, self.device))
            live = load(name, checkpoint, self.device, self._set_share)
        except Exception as error:
            self._failed[name] = _failure_reason(name, error)
            raise
        finally:
            self._loading = None
        self._failed.pop(name, None)
        return live

    def _set_share(self, share: float) -> None:
        self._share = share

    def _make_room(self, name: str, size: int) -> None:
        if size > self._budget:
            raise CheckpointError(
                f"{name} needs {size / GB:.1f} GB, but live models may take {self._budget / GB:.1f} GB. "
                "Raise NEURONYM_MODEL_MEMORY if the machine has more."
            )
        while self._live and sum(live.size for live in self._live.values()) + size > self._budget:
            self._unload_oldest()

    def _unload_oldest(self) -> None:
        name, _ = self._live.popitem(last=False)
        free_memory()
        log.info("unloaded %s", name)


def _failure_reason(name: str, error: Exception) -> str:
    """The message that users see for a model that could not be loaded: our own sentence, or a library's message."""
    if isinstance(error, CheckpointError):
        return str(error)
    message = first_line(error) or "no reason given"
    return f"{name} cannot be loaded: {type(error).__name__}, {message}. The worker's log has the rest."


def load(name: str, checkpoint: Checkpoint, device: torch.device, progress: LoadProgress = no_progress) -> LiveModel:
    """Load a checkpoint for clamping; `progress` is called with the share that is loaded.

    Raises:
        CheckpointError: the checkpoint cannot be opened.
    """
    model, tokenizer = checkpoint.load(device, precision(device), progress)
    codec = Codec(tokenizer)
    sites = Sites(model, checkpoint.family, checkpoint.layers, checkpoint.neurons)
    if device.type == "cpu":
        use_few_rows_linear(model)
    return LiveModel(
        name,
        model,
        codec,
        sites,
        _stop_tokens(model, codec),
        context=int(model.config.max_position_embeddings),
        vocab=len(model.get_submodule(checkpoint.family.embedding).get_parameter("weight")),
        size=_byte_size(model),
    )


def footprint(checkpoint: Checkpoint, device: torch.device) -> int:
    """Compute the bytes a checkpoint takes once loaded, from its shape alone."""
    return _byte_size(empty_model(checkpoint.config, precision(device)))


def _byte_size(model: PreTrainedModel) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def _stop_tokens(model: PreTrainedModel, codec: Codec) -> frozenset[int]:
    """Collect the tokens that end a text, by generation settings, configuration, tokenizer and chat template."""
    generation = getattr(model.generation_config, "eos_token_id", None)
    sources = (generation, model.config.eos_token_id, codec.eos, codec.turn_end())
    ids = [id_ for eos in sources for id_ in (eos if isinstance(eos, list) else [eos])]
    return frozenset(id_ for id_ in ids if id_ is not None)
