"""The mapped layers of a model, from its settings, and their name in a sentence."""

from collections.abc import Mapping
from typing import Any


def mapped_layers(settings: Mapping[str, Any], layers: int) -> range:
    """The mapped layers of a model with `layers` layers; all of them if its settings name none."""
    first, last = settings.get("layers") or (0, layers - 1)
    return range(int(first), int(last) + 1)


def name_layers(layers: range) -> str:
    """Name adjacent layers in words: `layer 29`, or `layers 28 to 29`."""
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"
