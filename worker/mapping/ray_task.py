"""A block of layers as a task: the order that travels to another machine, and the work that the machine does.

Machines share no file system: the task opens the checkpoint on its own machine, checks that its weights are those
ordered, and returns shards as bytes. Knows nothing of who sends tasks.
"""

from dataclasses import dataclass
from importlib.metadata import version

import torch

from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.vocabulary import Vocabulary
from worker.errors import CheckpointError
from worker.machine.device import mapping_device
from worker.mapping.layers import LayerMapper, LayerShards
from worker.mapping.recipe import MapRecipe


@dataclass(frozen=True)
class BlockOrder:
    """Everything that a machine needs to map blocks of a model's layers."""

    spec: str  # opens the checkpoint on the other machine
    source_hash: str
    tokenizer_hash: str
    recipe: MapRecipe
    device: str  # a value of NEURONYM_DEVICE
    threads: int | None  # of the CPU; None leaves torch's own number
    version: str

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: MapRecipe, device: str, threads: int | None
    ) -> "BlockOrder":
        """The order for a checkpoint that is open on this machine."""
        spec = checkpoint.source.portable
        return cls(spec, checkpoint.source_hash, vocabulary.hash, recipe, device, threads, version("neuronym"))


_ready: dict[BlockOrder, LayerMapper] = {}  # the last mapper: preparing a head takes longer than mapping a layer


def map_block(order: BlockOrder, layers: tuple[int, ...]) -> list[LayerShards]:
    """Map layers on this machine.

    Raises:
        CheckpointError: the checkpoint cannot be opened on this machine, is damaged, or is not the one ordered.
    """
    if order.threads:
        torch.set_num_threads(order.threads)
    if order not in _ready:
        _ready.clear()  # so that memory holds one mapper at a time
        _ready[order] = _create_mapper(order)
    return list(_ready[order].run(layers))


def _create_mapper(order: BlockOrder) -> LayerMapper:
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
