"""Quantised copies of tiny checkpoints, made by arithmetic in plain sight, and the values that they stand for."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.checkpoints import make_checkpoint

Tensors = dict[str, torch.Tensor]
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def quantise(
    folder: Path, scheme: Mapping[str, Any], pack: Callable[[torch.Tensor], tuple[Tensors, torch.Tensor]]
) -> Tensors:
    """Write a tiny Llama whose projections are packed by `pack`; return the values of all its parameters.

    `pack` takes a weight and returns what is stored for it, by names within the module, and what that stands for.
    """
    make_checkpoint(folder, "llama-untied")
    plain = load_file(folder / "model.safetensors")
    stored, values = Tensors(), Tensors()
    for name, weight in plain.items():
        module = name.removesuffix(".weight")
        if module.endswith(PROJECTIONS):
            packed, values[name] = pack(weight)
            stored |= {f"{module}.{part}": tensor.clone() for part, tensor in packed.items()}
        else:
            stored[name] = values[name] = weight
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    configure(folder, quantization_config=dict(scheme))
    return values


def configure(folder: Path, **settings: Any) -> None:
    """Change settings of a folder's configuration."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def change(folder: Path, edit: Callable[[Tensors], object]) -> None:
    """Change the stored tensors of a folder."""
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
