"""Adapters: merged row by row and in the live model, as peft merges them; what is not known to be so is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from neuronym.contract import View
from tests.checkpoints import LAYERS, NEURONS, WIDTH, make_checkpoint
from worker.checkpoints.adapter import open_adapter
from worker.checkpoints.checkpoint import open_checkpoint
from worker.errors import CheckpointError

RANK = 4
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "bias": "none", "target_modules": ["up_proj", "down_proj"]}


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter that changes up_proj and down_proj of every layer."""
    folder = tmp_path / "lora"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for layer in range(LAYERS):
        for module, inner, outer in (("up_proj", WIDTH, NEURONS), ("down_proj", NEURONS, WIDTH)):
            name = f"base_model.model.model.layers.{layer}.mlp.{module}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(RANK, inner, generator=generator)
            tensors[f"{name}.lora_B.weight"] = torch.randn(outer, RANK, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG))
    return folder


def test_rows_and_live_model_carry_the_change(tiny_llama: Path, adapter: Path) -> None:
    plain, tuned = open_checkpoint(str(tiny_llama)), open_checkpoint(f"{tiny_llama}+{adapter}")
    tensors = load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.model.layers.1.mlp.{}.lora_{}.weight"
    up = 2 * tensors[name.format("up_proj", "B")] @ tensors[name.format("up_proj", "A")]
    down = 2 * tensors[name.format("down_proj", "B")] @ tensors[name.format("down_proj", "A")]
    torch.testing.assert_close(tuned.rows(View.up, 1), plain.rows(View.up, 1) + up)
    torch.testing.assert_close(tuned.rows(View.down, 1), plain.rows(View.down, 1) + down.T)
    assert torch.equal(tuned.rows(View.gate, 1), plain.rows(View.gate, 1))
    model, _ = tuned.load(torch.device("cpu"), torch.float32)
    torch.testing.assert_close(model.get_submodule("model.layers.1.mlp.up_proj").weight, tuned.rows(View.up, 1))
    assert tuned.source_hash != plain.source_hash
    assert tuned.name == f"{plain.name}-lora"


def test_conv1d_is_changed_in_its_own_layout(tmp_path: Path) -> None:
    gpt2, folder = make_checkpoint(tmp_path / "gpt2", "gpt2"), tmp_path / "lora"
    folder.mkdir()
    a, b = torch.randn(RANK, WIDTH), torch.randn(NEURONS, RANK)
    name = "base_model.model.transformer.h.0.mlp.c_fc.lora_"
    save_file({f"{name}A.weight": a, f"{name}B.weight": b}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | {"fan_in_fan_out": True}))
    plain, tuned = open_checkpoint(str(gpt2)), open_checkpoint(f"{gpt2}+{folder}")
    torch.testing.assert_close(tuned.rows(View.up, 0), plain.rows(View.up, 0) + 2 * b @ a)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"peft_type": "IA3"}, "IA3 adapter, not LoRA"),
        ({"bias": "all", "modules_to_save": ["lm_head"]}, "sets bias, modules_to_save"),
        ({"init_lora_weights": "pissa"}, "sets init_lora_weights"),
        ({"init_lora_weights": "olora"}, "sets init_lora_weights"),
        ({"loftq_config": {"loftq_bits": 4}, "init_lora_weights": "loftq"}, "sets init_lora_weights, loftq_config"),
        ({"layer_replication": [[0, 2], [1, 4]]}, "sets layer_replication"),
        ({"alora_invocation_tokens": [1]}, "sets alora_invocation_tokens"),
        ({"use_qalora": True}, "sets use_qalora"),
        ({"target_parameters": ["mlp.experts.down_proj"]}, "sets target_parameters"),
        ({"invented_tomorrow": 1}, "sets invented_tomorrow"),
        ({"r": 0}, "has r 0"),
        ({"lora_alpha": "many"}, "has lora_alpha 'many'"),
        ({"r": 8}, f"has rank 8, but stores one of rank {RANK}"),
        ({"rank_pattern": {"layers.1.mlp.up_proj": 3}}, "layers.1.mlp.up_proj has rank 3, but stores"),
        ({"rank_pattern": ["up_proj"]}, "has rank_pattern"),
        ({"alpha_pattern": {"up_proj": 0}}, "has alpha_pattern of up_proj 0"),
        ({"alpha_pattern": {"(.*)*_proj": 2}}, r"the expression '\(\.\*\)\*_proj' in its alpha_pattern"),
        ({"use_dora": True}, "lacks lora_magnitude_vector of"),
    ],
)
def test_other_adapters_are_refused(adapter: Path, change: dict[str, object], words: str) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(CheckpointError, match=f"{words}.*"):
        open_adapter(adapter)


def test_damaged_adapters_are_refused(tiny_llama: Path, adapter: Path) -> None:
    file = adapter / "adapter_model.safetensors"
    whole = load_file(file)
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_"

    save_file(whole | {f"{name}magnitude_vector": torch.ones(NEURONS)}, file)
    with pytest.raises(CheckpointError, match=r"has lora_magnitude_vector of model.layers.0.mlp.up_proj, against"):
        open_adapter(adapter)
    save_file(whole | {f"{name}embedding_A": torch.ones(3)}, file)
    with pytest.raises(CheckpointError, match="lora_embedding_A', which is no part of plain LoRA"):
        open_adapter(adapter)
    save_file({key.removeprefix("base_model.model."): value for key, value in whole.items()}, file)
    with pytest.raises(CheckpointError, match=r"holds 'model.layers.0.mlp.*', which is no part of plain LoRA"):
        open_adapter(adapter)
    save_file({key: value for key, value in whole.items() if key != f"{name}B.weight"}, file)
    with pytest.raises(CheckpointError, match=r"lacks lora_B.weight of model.layers.0.mlp.up_proj, against"):
        open_adapter(adapter)
    save_file(whole | {f"{name}B.weight": torch.ones(NEURONS, 3)}, file)
    with pytest.raises(CheckpointError, match="do not fit"):
        open_adapter(adapter)
    save_file({}, file)
    with pytest.raises(CheckpointError, match="holds no tensors"):
        open_adapter(adapter)
    save_file(whole | {f"{name}A.weight": torch.full((RANK, WIDTH), torch.nan)}, file)
    with pytest.raises(CheckpointError, match="not finite"):
        open_adapter(adapter)
    save_file(whole | {f"{name}A.weight": torch.ones(RANK, 5)}, file)
    with pytest.raises(CheckpointError, match="trained on this model"):
        open_checkpoint(f"{tiny_llama}+{adapter}").rows(View.up, 0)
    for strange, words in (
        ("model.layers.99.mlp.up_proj", "which is in no layer"),
        ("model.language_model.layers.0.mlp.up_proj", "which is in no layer"),
        ("base_model.model.model.layers.0.mlp.up_proj", "which is in no layer"),
        ("model.layers.0.mlp.up_projection", "does not have"),
    ):
        part = f"base_model.model.{strange}.lora_"
        save_file({f"{part}A.weight": torch.ones(RANK, 2), f"{part}B.weight": torch.ones(2, RANK)}, file)
        with pytest.raises(CheckpointError, match=f"changes '{strange}', which .*{words.removeprefix('which ')}"):
            open_checkpoint(f"{tiny_llama}+{adapter}")
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_adapter(adapter)
    file.rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin, which is pickled .* Convert it"):
        open_adapter(adapter)
    (adapter / "adapter_model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"has no adapter_model\.safetensors. Give a folder that peft saved"):
        open_adapter(adapter)
    (adapter / "adapter_config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        open_adapter(adapter)
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"adapter_config\.json"):
        open_adapter(adapter)


def test_an_adapter_that_is_not_there(tiny_llama: Path) -> None:
    with pytest.raises(CheckpointError, match="no adapter folder"):
        open_checkpoint(f"{tiny_llama}+./gone")


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.complex64, torch.int8])
def test_a_type_that_is_not_merged(adapter: Path, kind: torch.dtype) -> None:
    file = adapter / "adapter_model.safetensors"
    save_file({name: tensor.to(kind) for name, tensor in load_file(file).items()}, file)
    with pytest.raises(CheckpointError, match=f"as {kind}, which is not merged"):
        open_adapter(adapter, transposed=False)
