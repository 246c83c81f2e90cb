"""What peft saves is merged as peft's own merge_and_unload merges it: rows, and every weight of the live model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from neuronym.contract import View
from tests.checkpoints import LAYERS, make_checkpoint
from worker.checkpoints.checkpoint import open_checkpoint
from worker.errors import CheckpointError

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning",  # peft's call
    "ignore:fan_in_fan_out is set to False but the target module is `Conv1D`:UserWarning",
)
LLAMA = ["up_proj", "down_proj", "q_proj"]
GPT2 = ["c_fc", "mlp.c_proj", "attn.c_proj", "c_attn"]
DIFFERENT: dict[str, Any] = {
    "rank_pattern": {"layers.1.mlp.up_proj": 2, "^model.layers.2.mlp.down_proj": 3, "up_proj": 5},
    "alpha_pattern": {"down_proj": 32, "layers.2.mlp.down_proj": 1, "1.mlp.up_proj": 7},
}


def tune(base: Path, folder: Path, **settings: Any) -> PreTrainedModel:
    """Save an adapter of random values; return the model that peft merges it into."""
    torch.manual_seed(1)
    chosen: dict[str, Any] = {"r": 4, "lora_alpha": 6, "init_lora_weights": "gaussian"}
    config = LoraConfig(**(chosen | settings))
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    assert isinstance(tuned, PeftModel)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
            if "magnitude" in name:
                parameter.mul_(torch.rand_like(parameter) + 0.5)
    tuned.save_pretrained(str(folder))
    merged = tuned.merge_and_unload()
    assert isinstance(merged, PreTrainedModel)
    return merged


def assert_merged(base: Path, folder: Path, merged: PreTrainedModel) -> None:
    plain, ours = open_checkpoint(str(base)), open_checkpoint(f"{base}+{folder}")
    live, _ = ours.load(torch.device("cpu"), torch.float32)
    expected = dict(merged.named_parameters())
    for name, parameter in live.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    family = ours.family
    for layer in range(LAYERS):
        for view, module in ((View.up, family.up), (View.down, family.down)):
            weight = expected[f"{family.layers_path}.{layer}.{module}.weight"]
            rows = weight if (view is View.down) == family.transposed else weight.T
            torch.testing.assert_close(ours.rows(view, layer), rows)
            assert not torch.allclose(rows, plain.rows(view, layer), atol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        DIFFERENT,
        DIFFERENT | {"use_rslora": True, "use_dora": True},
        {"use_dora": True},
        {"target_modules": r".*\.(up|down|q)_proj", "layers_pattern": None},
    ],
)
def test_linear_modules(tiny_llama: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    merged = tune(tiny_llama, tmp_path / "lora", **{"target_modules": LLAMA} | settings)
    assert_merged(tiny_llama, tmp_path / "lora", merged)


@pytest.mark.parametrize("settings", [{}, {"fan_in_fan_out": True}, {"use_dora": True}])
def test_conv1d(tmp_path: Path, settings: dict[str, Any]) -> None:
    """GPT-2's modules, of which `attn.c_proj` is square: only its kind says how its weight lies."""
    gpt2 = make_checkpoint(tmp_path / "gpt2", "gpt2")
    assert_merged(gpt2, tmp_path / "lora", tune(gpt2, tmp_path / "lora", target_modules=GPT2, **settings))


def test_a_setting_that_says_otherwise_than_the_module_is_changes_nothing(tmp_path: Path) -> None:
    gpt2 = make_checkpoint(tmp_path / "gpt2", "gpt2")
    merged = tune(gpt2, tmp_path / "lora", target_modules=GPT2)
    config = tmp_path / "lora" / "adapter_config.json"
    config.write_text(config.read_text().replace('"fan_in_fan_out": true', '"fan_in_fan_out": false'))
    assert_merged(gpt2, tmp_path / "lora", merged)


def test_a_row_without_a_length(tiny_llama: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    tune(tiny_llama, tmp_path / "lora", target_modules=["up_proj"], use_dora=True, r=1)
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.up_proj.weight").zero_()
    model.save_pretrained(base)
    tuned = open_checkpoint(f"{base}+{tmp_path / 'lora'}")
    assert tuned.adapter is not None
    tuned.adapter.changes["model.layers.1.mlp.up_proj"].b[5] = 0
    with pytest.raises(CheckpointError, match=r"length to a row of model.layers.1.mlp.up_proj that is nought"):
        tuned.rows(View.up, 1)
