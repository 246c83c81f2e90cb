"""Layers mapped as tasks of a Ray cluster: one task a block of layers, done again by Ray where a process or node dies.

Imports Ray, so it is imported only where that was asked for. Knows how tasks are spread; knows nothing of what they do.
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
from worker.errors import CheckpointError, EngineError
from worker.mapping.layers import LayerShards
from worker.mapping.ray_task import Order, map_block
from worker.mapping.recipe import Recipe

_ADDRESS = re.compile(r"(ray://)?(?P<host>.+):(?P<port>\d+)")
RETRIES = 5  # of a task whose process or node died
ROUNDS = 4  # tasks that each GPU or node gets, where there are layers enough: the last ones end together


@dataclass(frozen=True)
class Share:
    """What a task takes of the cluster, and how many such shares there are."""

    cpus: int
    gpus: int
    count: int

    def blocks(self, layers: Sequence[int]) -> list[tuple[int, ...]]:
        """Layers in runs of a length that keeps every share busy to the end."""
        size = max(1, len(layers) // (ROUNDS * self.count))
        return [tuple(layers[start : start + size]) for start in range(0, len(layers), size)]


@dataclass(frozen=True)
class RayEngine:
    """Maps layers on the cluster that this process is connected to."""

    device: str

    def __call__(
        self, checkpoint: Checkpoint, vocabulary: Vocabulary, recipe: Recipe, layers: Sequence[int]
    ) -> Iterator[LayerShards]:
        """The layers as they come back.

        Raises:
            CheckpointError: a node cannot read the checkpoint, or has another one.
            EngineError: a task cannot be run, or died too often.
        """
        share = share_of([node["Resources"] for node in ray.nodes() if node["Alive"]])  # type: ignore[no-untyped-call]
        order = Order.of(checkpoint, vocabulary, recipe, self.device, share.cpus or None)
        task = ray.remote(max_retries=RETRIES, num_cpus=share.cpus, num_gpus=share.gpus)(map_block)
        waiting = [
            task.options(name=f"neuronym {checkpoint.name} {block[0]}-{block[-1]}").remote(order, block)
            for block in share.blocks(layers)
        ]
        try:
            while waiting:
                done, waiting = ray.wait(waiting, num_returns=1)
                yield from _result(done[0])
        finally:
            for left in waiting:
                ray.cancel(left, force=True)


def share_of(nodes: Sequence[dict[str, float]]) -> Share:
    """One GPU a task where the cluster has any; else the CPUs of a node, since each task holds a head of its own.

    Nodes with less than half of the largest one's CPUs (a small head node) do not make the share smaller.

    Raises:
        EngineError: there is nothing to compute on.
    """
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    if gpus:
        return Share(cpus=0, gpus=1, count=gpus)
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    if not any(cpus):
        raise EngineError("The Ray cluster has no GPU and no CPU to give. Start a node with --num-cpus or --num-gpus.")
    share = min(one for one in cpus if 2 * one >= max(cpus))
    return Share(cpus=share, gpus=0, count=sum(one // share for one in cpus))


def _result(reference: "ray.ObjectRef[list[LayerShards]]") -> list[LayerShards]:
    """What a task returned; what it raised, as a sentence."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, CheckpointError):
            raise error.cause from None
        raise EngineError(
            f"A Ray task failed: {_first_line(error.cause)}. Every node needs this version of neuronym[worker,ray]."
        ) from error
    except RayError as error:
        raise EngineError(
            f"A Ray task died {RETRIES + 1} times ({_first_line(error)}). Is there memory enough on the nodes? Run the "
            "same command again: it goes on where it was."
        ) from error


@contextmanager
def connected(address: str | None, device: str) -> Iterator[RayEngine]:
    """An engine on the cluster at `address`, else at RAY_ADDRESS, else on a cluster of this machine alone.

    Raises:
        EngineError: there is no such cluster, or it runs another Ray or Python.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns that this will be so
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    alone = where == "local"
    try:
        _knock(where)
        ray.init(
            where,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if alone else None,
            _node_ip_address="127.0.0.1" if alone else None,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise EngineError(
            f"There is no Ray cluster at {where} that can be used ({_first_line(error)}). Check --ray-address or "
            "RAY_ADDRESS, and that the cluster has the Ray and Python of this machine."
        ) from error
    try:
        yield RayEngine(device)
    finally:
        ray.shutdown()


def _knock(where: str) -> None:
    """Fail at once where nothing listens: Ray would try for many minutes.

    Raises:
        OSError: nothing answers at this address.
    """
    found = _ADDRESS.fullmatch(where)
    if found:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), timeout=10).close()


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
