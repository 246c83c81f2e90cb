"""Tensors read one by one equal those of transformers' model in every family; errors name the tensor."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from neuronym.contract import View
from tests.checkpoints import LAYERS, NEURONS, WIDTH, configurations, make_checkpoint
from worker.checkpoints.checkpoint import Checkpoint, open_checkpoint
from worker.checkpoints.families import FAMILIES
from worker.errors import CheckpointError


def modules(checkpoint: Checkpoint, layer: int) -> dict[View, torch.Tensor]:
    """The weight vectors of each view, `(neurons, width)`, from the live model."""
    model, _ = checkpoint.load(torch.device("cpu"), torch.float32)
    family = checkpoint.family
    names = {View.up: family.up, View.gate: family.gate, View.down: family.down}
    weights = {
        view: model.get_parameter(f"{family.layers_path}.{layer}.{name}.weight") for view, name in names.items() if name
    }
    return {view: weight if weight.shape == (NEURONS, WIDTH) else weight.T for view, weight in weights.items()}


@pytest.mark.parametrize("family", configurations())
def test_rows_and_head_of_every_family(family: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(make_checkpoint(tmp_path / family, family)))
    assert (checkpoint.layers, checkpoint.neurons, checkpoint.width) == (LAYERS, NEURONS, WIDTH)
    expected = modules(checkpoint, 2)
    assert checkpoint.views == list(expected)
    for view, weight in expected.items():
        assert torch.equal(checkpoint.rows(view, 2), weight)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(tmp_path / family)
    output = model.get_output_embeddings().weight  # type: ignore[no-untyped-call]
    assert torch.equal(checkpoint.head(), output)
    assert checkpoint.tied == (output is model.get_input_embeddings().weight)


def test_every_known_family_is_tested() -> None:
    tested = {configuration.model_type for configuration in configurations().values()}
    assert tested == set(FAMILIES)


def test_sharded_and_bare_checkpoints(tiny_llama: Path, tmp_path: Path) -> None:
    whole = open_checkpoint(str(tiny_llama))
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert torch.equal(open_checkpoint(str(tmp_path)).rows(View.down, 3), whole.rows(View.down, 3))

    bare = {name.removeprefix("model."): tensor for name, tensor in load_file(tiny_llama / "model.safetensors").items()}
    for file in tmp_path.glob("*.safetensors*"):
        file.unlink()
    save_file(bare, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(open_checkpoint(str(tmp_path)).rows(View.gate, 0), whole.rows(View.gate, 0))


def test_half_precision_is_read_as_fp32(tiny_llama: Path, tmp_path: Path) -> None:
    AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16).save_pretrained(tmp_path)
    checkpoint = open_checkpoint(str(tmp_path))
    assert checkpoint.reader.dtype == "bf16"
    assert checkpoint.rows(View.up, 0).dtype is torch.float32


def edit(folder: Path, **changes: object) -> None:
    """Change a checkpoint's configuration."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.fixture
def copy(tiny_llama: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_llama, tmp_path / "copy"))


def refused(spec: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(spec))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_configuration(tmp_path: Path) -> None:
    assert "no config.json" in refused(tmp_path)


def test_a_configuration_that_is_not_json(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    assert "cannot be read" in refused(copy)


def test_an_unknown_architecture(copy: Path) -> None:
    edit(copy, model_type="bert")
    assert "unknown architecture 'bert'" in refused(copy)
    edit(copy, model_type="not-yet-invented")
    assert "not-yet-invented" in refused(copy)


def test_a_mixture_of_experts(copy: Path) -> None:
    edit(copy, model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=8)
    assert "mixture-of-experts" in refused(copy)


def test_pickled_weights_are_not_loaded(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"")
    assert "run code" in refused(copy)
    (copy / "pytorch_model.bin").unlink()
    assert "no weights" in refused(copy)


def test_a_missing_shard(tiny_llama: Path, copy: Path) -> None:
    AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(copy, max_shard_size="40KB")
    (copy / "model.safetensors").unlink(missing_ok=True)
    gone = sorted(copy.glob("model-*.safetensors"))[1]
    gone.unlink()
    assert gone.name in refused(copy)


def test_a_truncated_file(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    assert "cannot be read" in refused(copy)


def test_values_that_are_not_finite(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 3] = float("nan")
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    checkpoint = open_checkpoint(str(copy))
    checkpoint.rows(View.up, 0)
    with pytest.raises(CheckpointError, match="not finite"):
        checkpoint.rows(View.up, 1)


def test_a_shape_that_is_not_the_configurations(copy: Path) -> None:
    edit(copy, intermediate_size=NEURONS + 1)
    with pytest.raises(CheckpointError, match=r"shape \(48, 32\)"):
        open_checkpoint(str(copy)).rows(View.up, 0)


def test_no_tokenizer(copy: Path) -> None:
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        _ = open_checkpoint(str(copy)).tokenizer


def test_the_source_hash_follows_the_weights(tiny_llama: Path, copy: Path) -> None:
    same = open_checkpoint(str(copy)).source_hash
    assert same == open_checkpoint(str(tiny_llama)).source_hash
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 3] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert open_checkpoint(str(copy)).source_hash != same
