"""The settings of a PEFT adapter: which of them are merged rightly here, and the scaling of each module.

Settings known to be harmless are listed, and any other is refused by name, so that no adapter is half applied.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.errors import CheckpointError

MERGE = "Merge it with peft's merge_and_unload, save the model, and give that folder."
# Settings whose values do not change the weights beyond what the scaling and the stored tensors hold. That
# `fan_in_fan_out` is among them is because peft sets it by the kind of a module, whatever the file says.
_HARMLESS = {
    "peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "target_modules",
    "exclude_modules", "lora_dropout", "layers_to_transform", "layers_pattern", "megatron_core", "qalora_group_size",
}  # fmt: skip
# Settings that are harmless with these values only: PiSSA, OLoRA, CorDA and LoftQ change the base weights, too.
_HARMLESS_AS = {
    "bias": ("none",),
    "init_lora_weights": (True, False, "gaussian", "orthogonal"),
    "runtime_config": ({"ephemeral_gpu_offload": False}, {"ephemeral_gpu_offload": True}),
}
# A pattern is a regular expression for peft. Names take time in proportion to their length; others might take for ever.
_PLAIN_PATTERN = re.compile(r"\^?[\w.]+")


@dataclass(frozen=True)
class AdapterSettings:
    """Rank and strength of an adapter's changes, by module where they differ."""

    folder: Path
    rank: float
    alpha: float
    ranks: Mapping[str, float]  # by pattern
    alphas: Mapping[str, float]
    rank_stabilised: bool
    with_magnitudes: bool  # DoRA

    def scaling(self, module: str, stored_rank: int) -> float:
        """What B @ A of a module is multiplied by.

        Raises:
            CheckpointError: the stored matrices have another rank than the settings say.
        """
        rank, alpha = _value_for(module, self.ranks, self.rank), _value_for(module, self.alphas, self.alpha)
        if rank != stored_rank:
            raise CheckpointError(
                f"{self.folder} says that its change of {module} has rank {rank:g}, but stores one of rank "
                f"{stored_rank}. Restore or download it again."
            )
        return alpha / rank**0.5 if self.rank_stabilised else alpha / rank


def read_settings(folder: Path) -> AdapterSettings:
    """Read adapter_config.json.

    Raises:
        CheckpointError: the file is missing or damaged, or has settings that are not known to merge rightly.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
        kind = config.get("peft_type")
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder} has no readable adapter_config.json. Give a folder saved by peft.") from error
    if kind != "LORA":
        raise CheckpointError(f"{folder} is a {kind} adapter, not LoRA. {MERGE}")
    refused = sorted(name for name, value in config.items() if not _is_harmless(name, value))
    if refused:
        raise CheckpointError(f"{folder} sets {', '.join(refused)}, which is not known to merge rightly here. {MERGE}")
    return AdapterSettings(
        folder,
        rank=_positive(folder, "r", config.get("r")),
        alpha=_positive(folder, "lora_alpha", config.get("lora_alpha")),
        ranks=_read_pattern(folder, "rank_pattern", config.get("rank_pattern")),
        alphas=_read_pattern(folder, "alpha_pattern", config.get("alpha_pattern")),
        rank_stabilised=bool(config.get("use_rslora")),
        with_magnitudes=bool(config.get("use_dora")),
    )


def _is_harmless(name: str, value: Any) -> bool:
    """Whether a setting is one that is merged rightly; an unknown setting must be off."""
    return name in _HARMLESS or value in _HARMLESS_AS.get(name, (None, False, {}, [], ""))


def _positive(folder: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 2**31:
        raise CheckpointError(f"{folder} has {name} {value!r} in adapter_config.json: give a folder saved by peft.")
    return float(value)


def _read_pattern(folder: Path, name: str, pattern: Any) -> dict[str, float]:
    """The values of a setting by pattern of module name, in the file's order: the first that fits counts."""
    if not isinstance(pattern or {}, dict):
        raise CheckpointError(f"{folder} has {name} {pattern!r} in adapter_config.json: give a folder saved by peft.")
    values = {key: _positive(folder, f"{name} of {key}", value) for key, value in (pattern or {}).items()}
    expression = next((key for key in values if not _PLAIN_PATTERN.fullmatch(key)), None)
    if expression is not None:
        raise CheckpointError(f"{folder} has the expression {expression!r} in its {name}, not a module's name. {MERGE}")
    return values


def _value_for(module: str, patterns: Mapping[str, float], default: float) -> float:
    """The value of the first pattern that is the end of the module's name, as peft compares them."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)
