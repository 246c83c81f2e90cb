"""Damaged files of every kind end in one sentence, or in a model that transformers reads the same."""

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from neuronym.contract import View
from tests.checkpoints import LAYERS, make_checkpoint, make_tokenizer
from worker.checkpoints.checkpoint import open_checkpoint
from worker.errors import CheckpointError

CASES = 60  # of each kind; a case is made again of its number
ODD: list[Any] = [None, True, -1, 0, 1, 3, 7.5, 10**9, 2**63, float("nan"), "", "x", "../x", [], [1], {}, {"x": 1}]

Damage = Callable[[random.Random, bytes], bytes]


def damage_json(chance: random.Random, data: bytes) -> bytes:
    """Change one value, or lose or rename one key, anywhere in a JSON text; sometimes change a byte of it instead."""
    if chance.random() < 0.2:
        return damage_bytes(chance, data)
    tree = json.loads(data)
    places = list(_places(tree))
    [holder, key] = chance.choice(places)
    what = chance.choice(["replace", "replace", "replace", "lose", "swap"])
    if what == "replace":
        holder[key] = chance.choice(ODD)
    elif what == "lose":
        del holder[key]
    else:
        [other, other_key] = chance.choice(places)
        holder[key], other[other_key] = json.loads(json.dumps([other[other_key], holder[key]]))
    return json.dumps(tree).encode()


def _places(tree: Any) -> Any:
    """Every place of a value in a tree of lists and dictionaries; of a long list a few."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))[:8]
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def damage_bytes(chance: random.Random, data: bytes) -> bytes:
    """Change a few of the first bytes, or cut the file short."""
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 20])):
        changed[chance.randrange(min(len(data), 4000))] = chance.choice([0, 1, 34, 255, chance.randrange(256)])
    return bytes(changed)


def damage_header(chance: random.Random, data: bytes) -> bytes:
    """Damage the JSON header of a safetensors file, whose length stands before it."""
    [length] = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length]
    changed = damage_json(chance, header)
    return struct.pack("<Q", len(changed)) + changed + data[8 + length :] if chance.random() < 0.9 else changed


def damage_lines(chance: random.Random, data: bytes) -> bytes:
    """Lose, repeat, change or swap a line of a text file; sometimes change a byte of it instead."""
    if chance.random() < 0.2:
        return damage_bytes(chance, data)
    lines = data.decode().splitlines()
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    changes = {"lose": [], "repeat": [lines[at]] * 2, "change": [chance.choice(["", "x", "x y", "a b c"])]}
    what = chance.choice([*changes, "swap"])
    if what == "swap":
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at : at + 1] = changes[what]
    return "\n".join(lines).encode()


KINDS: list[tuple[str, str, Damage]] = [
    ("whole", "model.safetensors", damage_header),
    ("sharded", "model.safetensors.index.json", damage_json),
    ("whole", "config.json", damage_json),
    ("whole", "tokenizer.json", damage_json),
    ("whole", "tokenizer_config.json", damage_json),
    ("spelled", "vocab.json", damage_json),
    ("spelled", "merges.txt", damage_lines),
    ("adapter", "adapter_config.json", damage_json),
    ("adapter", "adapter_model.safetensors", damage_header),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint in one file, the same in shards and with a tokenizer of the old kind, and an adapter for it."""
    root = tmp_path_factory.mktemp("damage")
    whole = make_checkpoint(root / "whole", "llama-untied")
    shutil.copytree(whole, root / "sharded")
    (root / "sharded" / "model.safetensors").unlink()
    shutil.copytree(whole, root / "spelled")
    (root / "spelled" / "tokenizer.json").unlink()
    make_tokenizer().backend_tokenizer.model.save(str(root / "spelled"))
    (root / "spelled" / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    model = AutoModelForCausalLM.from_pretrained(whole)
    model.save_pretrained(root / "sharded", max_shard_size="40KB")
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["up_proj", "down_proj"], init_lora_weights=False))
    tuned.save_pretrained(str(root / "adapter"))
    return {name: root / name for name in ("whole", "sharded", "spelled", "adapter")}


@pytest.mark.filterwarnings("ignore")  # transformers and torch warn of what they then read or refuse
@pytest.mark.parametrize("kind, name, damage", KINDS, ids=[name for _, name, _ in KINDS])
def test_it_is_read_rightly_or_refused_in_a_sentence(
    folders: dict[str, Path], tmp_path: Path, kind: str, name: str, damage: Damage
) -> None:
    folder = tmp_path / kind
    shutil.copytree(folders[kind], folder)
    spec = f"{folders['whole']}+{folder}" if kind == "adapter" else str(folder)
    whole = (folder / name).read_bytes()
    read = 0
    for number in range(CASES):
        damaged = damage(random.Random(number), whole)
        (folder / name).write_bytes(damaged)
        try:
            use(spec)
            read += 1
        except CheckpointError as error:
            assert "\n" not in str(error), number
        except BaseException as error:
            raise AssertionError(f"case {number}") from error
    assert read < CASES
    assert read or damage is damage_header  # whose every word matters


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", [10**9, 2**63, -1, 0])
def test_no_number_of_a_configuration_is_too_large_to_refuse(
    folders: dict[str, Path], tmp_path: Path, value: int
) -> None:
    folder = shutil.copytree(folders["whole"], tmp_path / "whole")
    config = json.loads((folder / "config.json").read_text())
    for name in (name for name, stored in config.items() if isinstance(stored, int)):
        (folder / "config.json").write_text(json.dumps(config | {name: value}))
        try:
            use(str(folder))
        except CheckpointError as error:
            assert "\n" not in str(error), name


def use(spec: str) -> None:
    """Read all of a checkpoint and load its model, whose parameters must be what was read."""
    checkpoint = open_checkpoint(spec)
    assert checkpoint.layers == LAYERS and checkpoint.vocabulary.entries
    rows = {view: [checkpoint.rows(view, layer) for layer in range(checkpoint.layers)] for view in View}
    head = checkpoint.head()
    model, _ = checkpoint.load(torch.device("cpu"), torch.float32)
    for layer in range(checkpoint.layers):
        mlp = model.get_submodule(f"model.layers.{layer}.mlp")
        assert torch.equal(rows[View.up][layer], mlp.get_parameter("up_proj.weight"))
        assert torch.equal(rows[View.gate][layer], mlp.get_parameter("gate_proj.weight"))
        assert torch.equal(rows[View.down][layer], mlp.get_parameter("down_proj.weight").T)
    assert torch.equal(head, model.get_parameter("lm_head.weight"))
