"""Map layers as tasks of a Ray cluster: one task a block of layers; Ray repeats a task whose process or node dies.

Imports Ray, so it is imported only for `--engine ray`. Knows how tasks are spread; knows nothing of what they do.
"""

import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray.exceptions import RayError, RayTaskError

from worker.checkpoints.checkpoint import Checkpoint
from worker.checkpoints.vocabulary import Vocabulary
from worker.errors import CheckpointError, EngineError, first_line
from worker.mapping.layers import LayerShards
from worker.mapping.ray_task import BlockOrder, map_block
from worker.mapping.recipe import MapRecipe

_ADDRESS = re.compile(r"(ray://)?(?P<host>.+):(?P<port>\d+)")
RETRIES = 5  # of a task whose process or node died
ROUNDS = 4  # tasks for each GPU or node, if layers suffice: short tasks let all nodes end at about the same time


@dataclass(frozen=True)
class TaskShare:
    """The CPUs and GPUs that each task gets, and how many such shares the cluster has."""

    cpus: int
    gpus: int
    count: int

    def blocks(self, layers: Sequence[int]) -> list[tuple[int, ...]]:
        """Divide layers into blocks of a length that keeps every share busy to the end."""
        size = max(1, len(layers) // (ROUNDS * self.count))
        return [tuple(layers[start : start + size]) for start in range(0, len(layers), size)]


@dataclass(frozen=True)
class RayEngine:
    """The engine that maps layers on the Ray cluster that this process is connected to."""

    device: str

    def __call__(
        self, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: MapRecipe, layers: Sequence[int]
    ) -> Iterator[LayerShards]:
        """Map the layers; yield them as tasks end.

        Raises:
            CheckpointError: a node cannot read the checkpoint, or has other weights.
            EngineError: a task cannot be run, or died too often.
        """
        share = task_share([node["Resources"] for node in ray.nodes() if node["Alive"]])  # type: ignore[no-untyped-call]
        order = BlockOrder.of(checkpoint, vocabulary, recipe, self.device, share.cpus or None)
        task = ray.remote(max_retries=RETRIES, num_cpus=share.cpus, num_gpus=share.gpus)(map_block)
        waiting = [
            task.options(name=f"neuronym {checkpoint.name} {block[0]}-{block[-1]}").remote(order, block)
            for block in share.blocks(layers)
        ]
        try:
            while waiting:
                done, waiting = ray.wait(waiting, num_returns=1)
                yield from _task_result(done[0])
        finally:
            for unfinished in waiting:
                ray.cancel(unfinished, force=True)


def task_share(nodes: Sequence[dict[str, float]]) -> TaskShare:
    """Give each task one GPU where the cluster has any, else all CPUs of a node: each task holds a head in memory.

    Nodes with less than half of the largest node's CPUs (a small head node) do not make the share smaller.

    Raises:
        EngineError: the cluster has neither GPUs nor CPUs.
    """
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if gpus:
        return TaskShare(cpus=0, gpus=1, count=gpus)
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if not any(cpus):
        raise EngineError("The Ray cluster has no GPU and no CPU to give. Start a node with --num-cpus or --num-gpus.")
    share = min(count for count in cpus if 2 * count >= max(cpus))
    return TaskShare(cpus=share, gpus=0, count=sum(count // share for count in cpus))


def _task_result(reference: "ray.ObjectRef[list[LayerShards]]") -> list[LayerShards]:
    """The layers that a task returned; raise its error as one with a sentence."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, CheckpointError):
            raise error.cause from None
        raise EngineError(
            f"A Ray task failed: {first_line(error.cause)}. Every node needs this version of neuronym[worker,ray]."
        ) from error
    except RayError as error:
        raise EngineError(
            f"A Ray task died {RETRIES + 1} times ({first_line(error)}). Is there memory enough on the nodes? Run the "
            "same command again: it goes on where it was."
        ) from error


@contextmanager
def connect(address: str | None, device: str) -> Iterator[RayEngine]:
    """Yield an engine on the cluster at `address`, else at RAY_ADDRESS, else on a cluster started on this machine.

    Raises:
        EngineError: the cluster cannot be reached, or runs another Ray or Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the coming default; unset, Ray warns of it
    cluster = address or os.environ.get("RAY_ADDRESS") or "local"
    local = cluster == "local"
    try:
        _check_listening(cluster)
        ray.init(
            cluster,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if local else None,
            _node_ip_address="127.0.0.1" if local else None,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise EngineError(
            f"There is no Ray cluster at {cluster} that can be used ({first_line(error)}). Check --ray-address or "
            "RAY_ADDRESS, and that the cluster has the Ray and Python of this machine."
        ) from error
    try:
        yield RayEngine(device)
    finally:
        ray.shutdown()


def _check_listening(address: str) -> None:
    """Raise at once if nothing listens at the address: Ray would try for many minutes.

    Raises:
        OSError: nothing answers at this address.
    """
    match = _ADDRESS.fullmatch(address)
    if match:
        socket.create_connection((match["host"].strip("[]"), int(match["port"])), timeout=10).close()
