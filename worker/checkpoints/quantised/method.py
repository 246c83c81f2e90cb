"""What each quantisation method is to its reader, and the error that it raises."""

from collections.abc import Mapping
from typing import Protocol

import torch

PLAIN_TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)  # whose values need no scales


class UnreadableWeight(ValueError):
    """The parts of a weight do not fit each other or the configuration; the message says how, as part of a sentence."""


class Quantisation(Protocol):
    """A quantisation method, set up by a model's configuration."""

    @property
    def name(self) -> str:
        """The method's name, as people call it."""
        ...

    def dequantise(self, module: str, parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The weight of a module, `(out, in)` in fp32.

        Args:
            module: the module's full name.
            parts: its stored tensors, by their names within the module: `weight`, `weight_scale` and so on.

        Raises:
            UnreadableWeight: the parts are not those that the method stores.
        """
        ...


def take(parts: Mapping[str, torch.Tensor], *names: str) -> list[torch.Tensor]:
    """The parts of these names, which must be all that there are.

    Raises:
        UnreadableWeight: a part is missing, or there is another one.
    """
    missing, others = sorted(set(names) - set(parts)), sorted(set(parts) - set(names))
    if missing:
        raise UnreadableWeight(f"it has no {missing[0]}")
    if others:
        raise UnreadableWeight(f"it has a {others[0]}, whose meaning is not known")
    return [parts[name] for name in names]
