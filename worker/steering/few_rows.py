"""Projections that are quick for the few rows of a decoding step on a CPU.

With one row torch multiplies a matrix by a vector, at the speed of memory. With two it asks the BLAS for a thin matrix
product, which can take twice as long. The same product written as `W @ x.T` is bound by memory again, so a second row
is almost free. benchmarks/clamp.py has the numbers.
"""

import torch
from torch import nn

FEW = 4  # rows up to which this was measured to win


class FewRowsLinear(nn.Linear):
    """A linear layer on the weights of another one, exact as that but for the order of fp32 sums."""

    def __init__(self, other: nn.Linear) -> None:
        super().__init__(other.in_features, other.out_features, bias=other.bias is not None, device="meta")
        self.weight, self.bias = other.weight, other.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """`(..., in)` to `(..., out)`."""
        flat = inputs.reshape(-1, self.in_features)
        if len(flat) > FEW:
            return super().forward(inputs)
        outputs = (self.weight @ flat.T).T.contiguous()  # a next product of the other memory order would be slow
        outputs = outputs.reshape(*inputs.shape[:-1], self.out_features)
        return outputs if self.bias is None else outputs + self.bias


def quicken(model: nn.Module) -> None:
    """Replace every plain linear layer of a model by a quick one. Weights stay the same tensors, tied ones tied."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            model.set_submodule(name, FewRowsLinear(module))
