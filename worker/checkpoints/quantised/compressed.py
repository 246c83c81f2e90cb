"""Weights in the format of compressed-tensors (llm-compressor, vLLM), whose own converter does the arithmetic.

Plain FP8 is multiplied here, so that the commonest of its formats needs no package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from worker.checkpoints.quantised.fp8 import FP8, read_block
from worker.checkpoints.quantised.method import PLAIN_TYPES, Quantisation, UnreadableWeight
from worker.errors import first_line

_PLAIN = {None, "tensor", "channel", "block"}  # what a scale may be for, as FP8 knows it
_FORMATS = {
    "int-quantized", "float-quantized", "naive-quantized", "pack-quantized", "mixed-precision",
    "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized",
}  # fmt: skip


def read_compressed(folder: Path, scheme: Mapping[str, Any]) -> Quantisation:
    """The reader of a folder whose configuration says `scheme`.

    Raises:
        ImportError: compressed-tensors is needed and not installed.
        UnreadableWeight: the weights are stored in a way that is not known here.
    """
    _refuse_other_meanings(scheme)
    return _plain_fp8(scheme) or CompressedTensors(folder, scheme)


def _refuse_other_meanings(scheme: Mapping[str, Any]) -> None:
    """Refuse settings that change what weights mean, and that the converter ignores."""
    if scheme.get("format") not in _FORMATS:
        raise UnreadableWeight(f"its format {scheme.get('format')!r} is not read")
    if scheme.get("transform_config"):
        raise UnreadableWeight("its weights are rotated (transform_config)")
    sparsity = scheme.get("sparsity_config") or {}
    if sparsity.get("format", "dense") != "dense":
        raise UnreadableWeight(f"its weights are sparse ({sparsity['format']})")


def _plain_fp8(scheme: Mapping[str, Any]) -> FP8 | None:
    """The reader of FP8 weights; None if a group of weights is stored in any other way."""
    groups = scheme.get("config_groups")
    weights = [group.get("weights") for group in groups.values()] if isinstance(groups, dict) else []
    if scheme["format"] != "float-quantized" or not all(isinstance(settings, dict) for settings in weights):
        return None
    kinds = {(settings.get("type"), settings.get("num_bits"), settings.get("symmetric", True)) for settings in weights}
    blocks = [settings.get("block_structure") for settings in weights]
    strategies = {settings.get("strategy") for settings in weights}
    if kinds != {("float", 8, True)} or not strategies <= _PLAIN or any(block != blocks[0] for block in blocks):
        return None
    return FP8(read_block(blocks[0]), "compressed-tensors float-quantized")


class CompressedTensors:
    """The converter of compressed-tensors, for one folder.

    Raises:
        ImportError: compressed-tensors is not installed.
        UnreadableWeight: the converter does not know how the weights are stored.
    """

    def __init__(self, folder: Path, scheme: Mapping[str, Any]) -> None:
        from compressed_tensors.entrypoints.convert import CompressedTensorsDequantizer

        stated = scheme["format"]
        self.name = f"compressed-tensors {stated}"
        try:
            self._converter = CompressedTensorsDequantizer(folder, dtype=torch.float32)
        except Exception as error:  # pydantic's errors, and whatever else a damaged configuration leads to
            raise UnreadableWeight(f"its package cannot read it ({first_line(error)})") from error
        groups = self._converter.quant_config.config_groups.values()
        found = sorted({str(group.format.value) for group in groups})
        if stated != "mixed-precision" and found != [stated]:  # the converter goes by what it has found
            raise UnreadableWeight(f"its format is {stated}, but its weights are {', '.join(found)}")

    def dequantise(self, module: str, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if "weight" in parts and parts["weight"].dtype in PLAIN_TYPES:
            raise UnreadableWeight(f"it has a scale, but is stored as {parts['weight'].dtype}")
        stored = {f"{module}.{name}": part for name, part in parts.items()}
        try:
            values = self._converter.validate(stored)
        except Exception as error:  # its ValueError, and torch's errors on shapes that do not fit
            raise UnreadableWeight(f"its package cannot read it ({first_line(error)})") from error
        weight: torch.Tensor | None = values.pop(f"{module}.weight", None)
        if weight is None or weight.dtype != torch.float32:
            raise UnreadableWeight("its package passes over it, since no group of the configuration has it")
        if values:
            raise UnreadableWeight(f"it has a {min(values).removeprefix(f'{module}.')}, whose meaning is not known")
        return weight
