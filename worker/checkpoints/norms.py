"""The gains of a layer's norms, as what passes a norm is multiplied by them.

Knows how families store them; knows nothing of rows or of live models.
"""

import torch

from worker.checkpoints.families import Family
from worker.checkpoints.weights import TensorReader
from worker.errors import CheckpointError


def read_gain(tensors: TensorReader, family: Family, layer: int, norm: str, width: int) -> torch.Tensor:
    """Read the gain of a layer's norm, `(width,)`.

    Args:
        norm: its name relative to the layer, one of those of `family`.

    Raises:
        CheckpointError: the tensor is missing, of the wrong shape, or not finite.
    """
    name = f"{family.layers_path}.{layer}.{norm}"
    gain = tensors.read(f"{name}.weight")
    if gain.shape != (width,) or not torch.isfinite(gain).all():
        raise CheckpointError(f"{name} is damaged: it should hold {width} finite values. Download it again.")
    return gain + 1 if family.gain_less_one else gain
