"""LoRA adapters in PEFT's layout, merged into weights as these are read: W + scaling * B @ A.

Only plain LoRA on linear modules is merged: settings known to be harmless are listed, and any other is refused by name,
so that no adapter is half applied.
Knows nothing of models or families.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from worker.errors import CheckpointError

_PREFIX = "base_model.model."
_MERGE = "Merge it with peft's merge_and_unload, save the model, and give that folder."
# Settings whose values do not change W + scaling * B @ A beyond what `scaling` and the shapes of A and B hold.
_HARMLESS = {
    "peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "r", "lora_alpha", "use_rslora", "fan_in_fan_out", "target_modules", "exclude_modules", "lora_dropout",
    "layers_to_transform", "layers_pattern", "megatron_core", "qalora_group_size",
}  # fmt: skip
# Settings that are harmless with these values only: PiSSA, OLoRA, CorDA and LoftQ change the base weights, too.
_HARMLESS_AS = {
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal"),
    "runtime_config": ({"ephemeral_gpu_offload": False}, {"ephemeral_gpu_offload": True}),
}


@dataclass(frozen=True)
class Adapter:
    """An adapter: low-rank changes of weights, by module name."""

    folder: Path
    scaling: float
    transposed: bool  # the weights are stored (in, out), as GPT-2's Conv1D
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(repr=False)  # module -> A (rank, in), B (out, rank)

    @property
    def modules(self) -> set[str]:
        """Names of the changed modules."""
        return set(self.pairs)

    def merge(self, module: str, weight: torch.Tensor) -> torch.Tensor:
        """Add the module's change to `weight`, in the layout of the file that the weight came from.

        Raises:
            CheckpointError: the shapes do not fit.
        """
        if module not in self.pairs:
            return weight
        a, b = self.pairs[module]
        change = self.scaling * (b @ a)  # (out, in)
        change = change.T if self.transposed else change
        if change.shape != weight.shape:
            raise CheckpointError(
                f"The adapter changes {module} by {tuple(change.shape)}, but the model's weight is "
                f"{tuple(weight.shape)}. Was it trained on this model?"
            )
        return weight + change.to(weight.dtype)

    def fingerprint(self) -> str:
        """The SHA-256 of configuration and weights."""
        digest = hashlib.sha256()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()


def open_adapter(folder: Path) -> Adapter:
    """Read a PEFT adapter folder.

    Raises:
        CheckpointError: files are missing or damaged, or it is not plain LoRA.
    """
    config = _read_config(folder)
    pairs = _read_pairs(folder)
    alpha, rank = _positive_setting(folder, config, "lora_alpha"), _positive_setting(folder, config, "r")
    scaling = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
    return Adapter(folder, scaling, bool(config.get("fan_in_fan_out")), pairs)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} has no readable adapter_config.json. Give a folder saved by peft.") from error
    if config.get("peft_type") != "LORA":
        raise CheckpointError(f"{folder} is a {config.get('peft_type')} adapter, not LoRA. {_MERGE}")
    refused = sorted(name for name, value in config.items() if not _is_harmless(name, value))
    if refused:
        raise CheckpointError(f"{folder} sets {', '.join(refused)}, which is not known to merge rightly here. {_MERGE}")
    return config


def _positive_setting(folder: Path, config: dict[str, Any], name: str) -> float:
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**31:
        raise CheckpointError(f"{folder} has {name} {value!r} in adapter_config.json: give a folder saved by peft.")
    return float(value)


def _is_harmless(name: str, value: Any) -> bool:
    """Whether a setting is one that this module merges rightly; an unknown setting must be off."""
    return name in _HARMLESS or value in _HARMLESS_AS.get(name, (None, False, {}, [], ""))


def _read_pairs(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    file = folder / "adapter_model.safetensors"
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}). Restore or download it again.") from error
    pairs = {}
    for name in tensors:
        module, _, part = name.removeprefix(_PREFIX).partition(".lora_")
        if part not in ("A.weight", "B.weight") or f"{_PREFIX}{module}.lora_B.weight" not in tensors:
            raise CheckpointError(f"{file} holds {name!r}, which is no part of plain LoRA. {_MERGE}")
        if part == "A.weight":
            pairs[module] = (tensors[name].float(), tensors[f"{_PREFIX}{module}.lora_B.weight"].float())
    if not all(torch.isfinite(matrix).all() for pair in pairs.values() for matrix in pair):
        raise CheckpointError(f"{file} holds values that are not finite. Restore or download it again.")
    return pairs
