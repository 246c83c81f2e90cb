"""The checkpoints of the models in the library, also after one is added or mapped again.

Knows where models came from; opens a checkpoint only when its function is called.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.spec import split_spec
from worker.errors import CheckpointError
from worker.library.current import read_library
from worker.library.published import PublishedModel, published_models

_COMMIT = re.compile(r"^[0-9a-f]{40}$")


class PublishedCheckpoints(Mapping[str, Callable[[], Checkpoint]]):
    """A mapping of model name to a function that opens its checkpoint, in the order that models were mapped."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._read_from = ""
        self._models: dict[str, PublishedModel] = {}

    def __getitem__(self, name: str) -> Callable[[], Checkpoint]:
        model = self._current()[name]
        return lambda: _reopen(model)

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    def _current(self) -> dict[str, PublishedModel]:
        run = read_library(self._data).run
        if run != self._read_from:
            self._models = {model.name: model for model in published_models(self._data)}
            self._read_from = run
        return self._models


def _reopen(model: PublishedModel) -> Checkpoint:
    """Open the checkpoint that a model was mapped from; raise CheckpointError if its weights have changed since."""
    missing = _missing_path(model)
    if missing:
        raise CheckpointError(
            f"{model.name} was mapped from {missing}, which is no longer there. Put it back, or map it from where it "
            f"is now: `neuronym-worker map PATH --name {model.name}`."
        )
    # A spec with an adapter has its revisions in itself.
    exact = model.adapter is None and model.revision is not None and _COMMIT.match(model.revision)
    checkpoint = open_checkpoint(f"{model.source}@{model.revision}" if exact else model.source)
    if checkpoint.source_hash != model.source_hash:
        raise CheckpointError(
            f"{model.source} has changed since {model.name} was mapped: clamps would be on other weights. "
            f"Map it again with `neuronym-worker map {model.source} --name NEW`."
        )
    return checkpoint


def _missing_path(model: PublishedModel) -> str | None:
    """The absolute path in a model's source at which there is nothing any more, if any."""
    parts = split_spec(model.source) if model.adapter else [model.source]
    return next((part for part in parts if part and Path(part).is_absolute() and not Path(part).exists()), None)
