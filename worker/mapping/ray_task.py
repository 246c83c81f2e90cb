"""A block of layers as a task: what travels to another machine, and what is done there with nothing but that.

No file system is shared: the task opens the checkpoint where it runs, makes sure that it is the same one, and returns
shards as bytes. Knows nothing of who sends tasks.
"""

from dataclasses import dataclass
from importlib.metadata import version

import torch

from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.sources import elsewhere
from worker.checkpoints.vocabulary import Vocabulary
from worker.errors import CheckpointError
from worker.machine.device import mapping_device
from worker.mapping.layers import LayerMapper, LayerShards
from worker.mapping.recipe import Recipe


@dataclass(frozen=True)
class Order:
    """All that a machine needs to know to map layers of a model."""

    spec: str  # what opens the checkpoint there
    source_hash: str
    tokenizer_hash: str
    recipe: Recipe
    device: str  # as in the settings
    threads: int | None  # of the CPU; None: as many as torch takes
    version: str

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: Recipe, device: str, threads: int | None
    ) -> "Order":
        """For a checkpoint that is open here."""
        spec = elsewhere(checkpoint.source)
        return cls(spec, checkpoint.source_hash, vocabulary.hash, recipe, device, threads, version("neuronym"))


_ready: dict[Order, LayerMapper] = {}  # the last one: making the head ready takes longer than a layer


def map_block(order: Order, layers: tuple[int, ...]) -> list[LayerShards]:
    """Map layers on this machine.

    Raises:
        CheckpointError: the checkpoint cannot be had here, is damaged, or is another one than was ordered.
    """
    if order.threads:
        torch.set_num_threads(order.threads)
    if order not in _ready:
        _ready.clear()  # before there is another
        _ready[order] = _mapper(order)
    return list(_ready[order].run(layers))


def _mapper(order: Order) -> LayerMapper:
    if version("neuronym") != order.version:
        raise CheckpointError(
            f"This node has neuronym {version('neuronym')}, the run was started with {order.version}. "
            "Install the same version on every node."
        )
    checkpoint = open_checkpoint(order.spec)
    if checkpoint.source_hash != order.source_hash:
        raise CheckpointError(f"{order.spec} has other weights on this node. Copy the same files to every node.")
    if checkpoint.vocabulary.hash != order.tokenizer_hash:
        raise CheckpointError(f"{order.spec} has another tokenizer on this node. Copy the same files to every node.")
    return LayerMapper(checkpoint, checkpoint.vocabulary, order.recipe, mapping_device(order.device))
