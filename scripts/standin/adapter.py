"""The adapter of the stand-in: its recipe, adding it to a model, storing it.

Plain LoRA only (no DoRA, no rank-stabilised scaling), so that `W + alpha / rank * B @ A` is the whole of it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel

TUNED = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROJECTIONS = ["down_proj", "gate_proj", "up_proj"]


@dataclass(frozen=True)
class AdapterRecipe:
    """The settings of a training run, apart from the text. Rates are AdamW's, lengths are in tokens."""

    steps: int = 400
    seed: int = 0
    rank: int = 16
    alpha: int = 32
    rate: float = 3e-3
    warmup: int = 20
    length: int = 128
    clip: float = 1.0


def with_adapter(model: PreTrainedModel, recipe: AdapterRecipe) -> PeftModel:
    """Put a fresh adapter on every up_proj, gate_proj and down_proj; the same seed gives the same start."""
    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=0.0, target_modules=PROJECTIONS, task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write adapter_model.safetensors in fp16 and adapter_config.json, as `PeftModel.from_pretrained` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    halves = {name: tensor.detach().half().contiguous() for name, tensor in state.items()}
    save_file(halves, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"]
    config.base_model_name_or_path = TUNED  # otherwise a path on the machine that trained it
    config.inference_mode = True
    config.save_pretrained(str(folder))
    _sort_lists(folder / "adapter_config.json")


def _sort_lists(file: Path) -> None:
    """Sort the projections, which peft keeps in a set whose order changes from run to run."""
    content = json.loads(file.read_text(encoding="utf-8"))
    content["target_modules"] = sorted(content["target_modules"])
    file.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
