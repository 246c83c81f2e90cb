"""Weights that bitsandbytes has quantised: to 8 bits with a scale a row, or to 4 bits with a scale a block.

All that the arithmetic needs is in the file. The package is not asked: where a row is no multiple of a block, its 4-bit
function for CPUs (0.50.2) takes the scales of other blocks, and does not say so.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch

from worker.checkpoints.quantised.method import UnreadableWeight, take

_IN_ROWS = 0  # `weight_format` of 8-bit weights that are stored row by row; the others are tiles of old GPUs
_STATE = "weight.quant_state.bitsandbytes__"
_SCALES = ("weight.absmax", "weight.quant_map")
_SCALES_OF_SCALES = ("weight.nested_absmax", "weight.nested_quant_map")


class BitsAndBytes:
    """LLM.int8 (arXiv 2208.07339) and the 4-bit types of QLoRA (arXiv 2305.14314) as bitsandbytes stores them."""

    name = "bitsandbytes"

    def dequantise(self, module: str, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:  # noqa: ARG002  (all alike)
        return _eight_bits(parts) if "SCB" in parts else _four_bits(parts)


def _eight_bits(parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
    stored = {name: part for name, part in parts.items() if name != "weight_format"}
    layout = parts.get("weight_format", torch.tensor(_IN_ROWS))
    weight, largest = take(stored, "weight", "SCB")  # (out, in), (out,)
    fits = weight.ndim == 2 and largest.shape == weight.shape[:1]
    if layout.numel() != 1 or layout.item() != _IN_ROWS or weight.dtype != torch.int8 or not fits:
        raise UnreadableWeight("it is not stored in rows of int8 with a scale each")
    values: torch.Tensor = weight * (largest.float() / 127)[:, None]
    return values


def _four_bits(parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
    state_names = [name for name in parts if name.startswith(_STATE)]
    if len(state_names) != 1:
        raise UnreadableWeight(f"it has {len(state_names)} states of its quantisation")
    state = _read_state(parts[state_names[0]])
    nested = "nested_blocksize" in state
    names = (*_SCALES, *_SCALES_OF_SCALES) if nested else _SCALES
    _, packed, scales, table, *outer = take(parts, state_names[0], "weight", *names)
    shape, size = state["shape"], state["blocksize"]
    bytes_ = packed.contiguous().reshape(-1).view(torch.uint8)  # stored as any type, for trainers that shard by it
    if bytes_.numel() != math.ceil(math.prod(shape) / 2) or table.numel() != 16:
        raise UnreadableWeight(f"it is not stored in pairs of 4 bits for {shape[0]} x {shape[1]} values")
    if nested:
        if outer[1].numel() != 256 or scales.dtype != torch.uint8:
            raise UnreadableWeight("its scales are not stored in 8 bits")
        scales = _spread(outer[1], scales.reshape(-1), outer[0], state["nested_blocksize"]) + state["nested_offset"]
    places = torch.stack([bytes_ >> 4, bytes_ & 15], 1).reshape(-1)[: math.prod(shape)]  # the first in the upper half
    return _spread(table, places, scales, size).reshape(shape)


def _spread(table: torch.Tensor, places: torch.Tensor, scales: torch.Tensor, size: int) -> torch.Tensor:
    """The table's value at each place `(values,)`, times the scale of its block of `size` places."""
    if scales.numel() != math.ceil(places.numel() / size):
        raise UnreadableWeight(f"it has {scales.numel()} scales for {places.numel()} values in blocks of {size}")
    values = table.float().reshape(-1)[places.int()]
    return values * scales.float().reshape(-1).repeat_interleave(size)[: places.numel()]


def _read_state(stored: torch.Tensor) -> dict[str, Any]:
    """Read the settings that are stored as the bytes of a JSON text: shape, block size, and those of nested scales."""
    try:
        state: dict[str, Any] = json.loads(bytes(stored.tolist()))
        shape, sizes = state["shape"], [state["blocksize"], state.get("nested_blocksize", 1), *state["shape"]]
        offset = float(state.get("nested_offset", 0.0))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableWeight("the state of its quantisation is damaged") from error
    if len(shape) != 2 or not all(isinstance(size, int) and 0 < size < 2**31 for size in sizes):
        raise UnreadableWeight(f"the state of its quantisation says {shape} in blocks of {sizes[0]}")
    return state | {"nested_offset": offset}
