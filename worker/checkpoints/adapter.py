"""A LoRA adapter in PEFT's layout, merged into weights as they are read: W + scaling * B @ A.

Only plain LoRA on linear modules is merged here; anything else is refused by name, so that no adapter is half applied.
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
_UNSUPPORTED = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "trainable_token_indices", "lora_bias")


@dataclass(frozen=True)
class Adapter:
    """Low-rank changes of weights, by module name."""

    folder: Path
    scaling: float
    transposed: bool  # the weights are stored (in, out), as GPT-2's Conv1D
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(repr=False)  # module -> A (rank, in), B (out, rank)

    @property
    def modules(self) -> set[str]:
        """Names of the changed modules."""
        return set(self.pairs)

    def merged(self, module: str, weight: torch.Tensor) -> torch.Tensor:
        """`weight` with the module's change added, in the layout of the file it came from.

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
        """SHA-256 over configuration and weights."""
        digest = hashlib.sha256()
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()


def open_adapter(folder: Path) -> Adapter:
    """Read a PEFT adapter folder.

    Raises:
        CheckpointError: files are missing or damaged, or it is not plain LoRA.
    """
    config = _config(folder)
    pairs = _pairs(folder)
    alpha, rank = float(config["lora_alpha"]), int(config["r"])
    scaling = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
    return Adapter(folder, scaling, bool(config.get("fan_in_fan_out")), pairs)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} has no readable adapter_config.json. Give a folder saved by peft.") from error
    if config.get("peft_type") != "LORA":
        raise CheckpointError(f"{folder} is a {config.get('peft_type')} adapter, not LoRA. {_MERGE}")
    used = [name for name in _UNSUPPORTED if config.get(name)]
    if config.get("bias", "none") != "none":
        used.append("bias")
    if used:
        raise CheckpointError(f"{folder} uses {', '.join(used)}, which is not merged here. {_MERGE}")
    return config


def _pairs(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
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
