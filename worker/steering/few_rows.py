"""Projections that are fast for the few rows of a decoding step on a CPU.

With one row torch multiplies a matrix by a vector, at the speed of memory. With two it asks the BLAS for a thin matrix
product, which can take twice as long. The same product written as `W @ x.T` is bound by memory again, so a second row
is almost free. benchmarks/clamp.py has the numbers.
"""

import torch
from torch import nn

FEW = 4  # rows up to which this was measured to win


class FewRowsLinear(nn.Linear):
    """A linear layer that shares the weights of `linear`; its results differ only by the order of fp32 sums."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map `(..., in)` to `(..., out)`."""
        flat = inputs.reshape(-1, self.in_features)
        if len(flat) > FEW:
            return super().forward(inputs)
        outputs = (self.weight @ flat.T).T.contiguous()  # the next product would be slow in the other memory order
        outputs = outputs.reshape(*inputs.shape[:-1], self.out_features)
        return outputs if self.bias is None else outputs + self.bias


def use_few_rows_linear(model: nn.Module) -> None:
    """Replace every plain linear layer of a model by a FewRowsLinear. Weights stay the same tensors, tied ones tied."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear:
            model.set_submodule(name, FewRowsLinear(module))
