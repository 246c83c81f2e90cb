"""A task's work on its machine, and the spread of tasks over a cluster."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neuronym.contract import View
from tests.checkpoints import NEURONS, make_checkpoint, make_tokenizer
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.vocabulary import read_vocabulary
from worker.errors import CheckpointError, EngineError
from worker.mapping.ray_engine import TaskShare, task_share
from worker.mapping.ray_task import BlockOrder, map_block
from worker.mapping.recipe import MapRecipe


def order(folder: Path) -> BlockOrder:
    checkpoint = open_checkpoint(str(folder))
    return BlockOrder.of(checkpoint, read_vocabulary(checkpoint.tokenizer), MapRecipe(), "cpu", threads=1)


def test_a_task_returns_whole_layers(tiny_llama: Path) -> None:
    shards = map_block(order(tiny_llama), (1, 3))
    assert [shard.layer for shard in shards] == [1, 3]
    tables = [f"{table}-{view}" for view in View for table in ("neighbour", "control", "label")]
    assert [list(shard.tables) for shard in shards] == [tables] * 2
    labels = pq.read_table(pa.BufferReader(shards[1].tables["label-up"]))
    assert set(labels["layer"].to_pylist()) == {3} and len(labels) == NEURONS * 2


def test_another_checkpoint_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other", seed=1)
    ordered = replace(order(tiny_llama), spec=str(other))
    with pytest.raises(CheckpointError, match="other weights on this node"):
        map_block(ordered, (0,))
    same = make_checkpoint(tmp_path / "same")
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(same)
    with pytest.raises(CheckpointError, match="another tokenizer on this node"):
        map_block(replace(ordered, spec=str(same)), (0,))
    with pytest.raises(CheckpointError, match="started with 0"):
        map_block(replace(ordered, version="0"), (0,))


def test_a_share_is_a_gpu_or_the_cpus_of_a_node() -> None:
    assert task_share([{"CPU": 8, "GPU": 2}, {"CPU": 64}]) == TaskShare(cpus=0, gpus=1, count=2)
    assert task_share([{"CPU": 16}, {"CPU": 16}, {"CPU": 2}, {}]) == TaskShare(cpus=16, gpus=0, count=2)
    assert task_share([{"CPU": 16}, {"CPU": 12}]) == TaskShare(cpus=12, gpus=0, count=2)
    with pytest.raises(EngineError, match="no GPU and no CPU"):
        task_share([{}, {"memory": 5}])


def test_blocks_hold_every_layer_once() -> None:
    assert TaskShare(1, 0, count=2).blocks(range(4)) == [(0,), (1,), (2,), (3,)]
    assert TaskShare(1, 0, count=2).blocks([3, 5]) == [(3,), (5,)]
    assert TaskShare(1, 0, count=1).blocks(range(9)) == [(0, 1), (2, 3), (4, 5), (6, 7), (8,)]
