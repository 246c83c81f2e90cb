"""Layers in a row: which of a model's are mapped by what its settings say, and how they are called in a sentence."""

from collections.abc import Mapping
from typing import Any


def mapped_layers(settings: Mapping[str, Any], layers: int) -> range:
    """The mapped layers of a model that has so many; settings that name none were made for all of them."""
    first, last = settings.get("layers") or (0, layers - 1)
    return range(int(first), int(last) + 1)


def name_layers(layers: range) -> str:
    """Such as `layer 29`, or `layers 28 to 29`."""
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"
