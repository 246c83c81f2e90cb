"""Shapes of models, and random weight vectors with the traits that make trained ones hard to decode fast.

Trained vectors have many lengths, share a mean, and a few of their channels are ten times as strong as the others.
Needs torch alone; knows no files and no lenses.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 4096  # vectors made at a time


@dataclass(frozen=True)
class Shape:
    """The sizes of a model of the Llama family."""

    layers: int
    width: int
    neurons: int
    vocab: int
    heads: int
    key_heads: int
    rope_base: float = 500_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        return self.width // self.heads


LLAMA_8B = Shape(layers=32, width=4096, neurons=14_336, vocab=128_256, heads=32, key_heads=8)  # Llama 3.1 8B
TINY = Shape(layers=2, width=64, neurons=96, vocab=384, heads=4, key_heads=2)


def make_vectors(
    count: int, width: int, seed: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Tensor:
    """Make random vectors, `(count, width)`, on the device; the same seed gives the same there, not elsewhere."""
    return torch.cat([block.to(dtype) for block in vector_blocks(count, width, seed, device)])


def vector_blocks(count: int, width: int, seed: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
    """Yield the vectors in blocks, `(at most BLOCK, width)`, fp32."""
    generator = torch.Generator(device).manual_seed(seed)
    channels = torch.ones(width, device=device)
    channels[torch.randperm(width, generator=generator, device=device)[: max(1, width // 500)]] = 10
    mean = 0.3 * torch.randn(width, generator=generator, device=device)
    for start in range(0, count, BLOCK):
        block = torch.randn(min(BLOCK, count - start), width, generator=generator, device=device)
        block.add_(mean).mul_(channels)
        lengths = torch.randn(len(block), 1, generator=generator, device=device).mul_(0.3).exp_()
        yield block.mul_(lengths).mul_(0.02)
