"""LoRA and DoRA adapters in PEFT's layout, merged into weights as these are read.

LoRA makes a weight W + scaling * B @ A; DoRA gives each row of that the length that it has learned.
Knows nothing of models or families.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from worker.checkpoints.adapter_settings import MERGE, AdapterSettings, read_settings
from worker.checkpoints.quantised import PLAIN_TYPES
from worker.errors import CheckpointError

_WEIGHTS, _PICKLED = "adapter_model.safetensors", "adapter_model.bin"
_PREFIX = "base_model.model."
_A, _B, _MAGNITUDE = "A.weight", "B.weight", "magnitude_vector"
_PARTS = {_A: _A, _B: _B, _MAGNITUDE: _MAGNITUDE, f"{_MAGNITUDE}.weight": _MAGNITUDE}  # as stored -> here


@dataclass(frozen=True)
class WeightChange:
    """The change of one weight, `(out, in)`."""

    a: torch.Tensor  # (rank, in)
    b: torch.Tensor  # (out, rank)
    scaling: float
    magnitude: torch.Tensor | None  # (out,)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.b), self.a.shape[1]


@dataclass(frozen=True)
class Adapter:
    """An adapter: low-rank changes of weights, by module name."""

    folder: Path
    transposed: bool  # the weights are stored (in, out), as GPT-2's Conv1D
    changes: dict[str, WeightChange] = field(repr=False)

    @property
    def modules(self) -> set[str]:
        """Names of the changed modules."""
        return set(self.changes)

    def merge(self, module: str, weight: torch.Tensor) -> torch.Tensor:
        """Apply the module's change to `weight`, in the layout of the file that the weight came from.

        Raises:
            CheckpointError: the shapes do not fit, or a changed row has no length that DoRA could scale.
        """
        change = self.changes.get(module)
        if change is None:
            return weight
        rows = weight.T if self.transposed else weight  # (out, in)
        if rows.shape != change.shape:
            raise CheckpointError(
                f"The adapter changes {module} by {change.shape}, but the model's weight is "
                f"{tuple(rows.shape)}. Was it trained on this model?"
            )
        changed = rows + change.scaling * (change.b @ change.a)  # (out, in)
        if change.magnitude is not None:
            lengths = changed.norm(dim=1)  # (out,)
            if not lengths.all():
                raise CheckpointError(
                    f"{self.folder} gives a length to a row of {module} that is nought. Was it trained on this model?"
                )
            changed *= (change.magnitude / lengths)[:, None]
        return changed.T if self.transposed else changed

    def fingerprint(self) -> str:
        """The SHA-256 of configuration and weights.

        A tokenizer beside them is left out, as it is from the hash of a model's own files: what it changes is covered
        by the hash of the vocabulary.
        """
        digest = hashlib.sha256()
        for name in ("adapter_config.json", _WEIGHTS):
            digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()


def open_adapter(folder: Path, transposed: bool = False) -> Adapter:
    """Read a PEFT adapter folder.

    Args:
        folder: what `save_pretrained` of a peft model wrote.
        transposed: the model's modules store their weights (in, out).

    Raises:
        CheckpointError: files are missing or damaged, or hold what is not merged rightly here.
    """
    settings = read_settings(folder)
    parts = _sort_parts(folder / _WEIGHTS, _read_tensors(folder))
    return Adapter(folder, transposed, {name: _read_change(settings, name, parts[name]) for name in parts})


def _read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    file = folder / _WEIGHTS
    if not file.exists() and (folder / _PICKLED).exists():
        raise CheckpointError(
            f"{folder} holds its weights in {_PICKLED}, which is pickled and runs code when it is loaded. Convert it: "
            "load it with peft and save_pretrained(..., safe_serialization=True)."
        )
    if not file.exists():
        raise CheckpointError(f"{folder} has no {_WEIGHTS}. Give a folder that peft saved with safe_serialization.")
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}). Restore or download it again.") from error


def _sort_parts(file: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Sort tensors by module and part: A, B or magnitude."""
    sorted_parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, part = name.removeprefix(_PREFIX).partition(".lora_")
        if not name.startswith(_PREFIX) or part not in _PARTS:
            raise CheckpointError(f"{file} holds {name!r}, which is no part of plain LoRA or DoRA. {MERGE}")
        if tensor.dtype not in PLAIN_TYPES:
            raise CheckpointError(f"{file} stores {name!r} as {tensor.dtype}, which is not merged here. {MERGE}")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file} holds values that are not finite. Restore or download it again.")
        sorted_parts.setdefault(module, {})[_PARTS[part]] = tensor.float()
    if not sorted_parts:
        raise CheckpointError(f"{file} holds no tensors, and would change nothing. Restore or download it again.")
    return sorted_parts


def _read_change(settings: AdapterSettings, module: str, parts: Mapping[str, torch.Tensor]) -> WeightChange:
    """The change of a module, whose parts must be those that the settings say, and fit together."""
    expected = {_A, _B, _MAGNITUDE} if settings.with_magnitudes else {_A, _B}
    wrong = min(parts.keys() ^ expected, default=None)
    if wrong:
        raise CheckpointError(
            f"{settings.folder} {'lacks' if wrong in expected else 'has'} lora_{wrong} of {module}, against its "
            "settings. Restore or download it again."
        )
    a, b, magnitude = parts[_A], parts[_B], parts.get(_MAGNITUDE)
    fits = a.ndim == b.ndim == 2 and b.shape[1] == len(a)
    if not fits or (magnitude is not None and magnitude.shape != b.shape[:1]):
        raise CheckpointError(f"{settings.folder} holds matrices of {module} that do not fit. {MERGE}")
    return WeightChange(a, b, settings.scaling(module, len(a)), magnitude)
