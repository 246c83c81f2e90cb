"""The quick projections are the plain ones."""

import pytest
import torch
from torch import nn

from worker.steering.few_rows import FewRowsLinear, use_few_rows_linear
from worker.steering.models import LiveModel


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3), (2, 9), (4,)])
def test_a_quick_projection_is_the_plain_one(shape: tuple[int, ...], bias: bool) -> None:
    plain = nn.Linear(16, 50, bias=bias)
    inputs = torch.randn(*shape, 16)
    quick = FewRowsLinear(plain)
    assert quick.weight is plain.weight
    assert quick(inputs).shape == (*shape, 50)
    assert torch.allclose(quick(inputs), plain(inputs), atol=1e-6)


def test_all_of_a_model_is_quickened_and_stays_tied(llama: LiveModel) -> None:
    kinds = {type(module) for module in llama.model.modules()}
    assert FewRowsLinear in kinds
    assert nn.Linear not in kinds
    embedding = llama.model.get_submodule("model.embed_tokens")
    assert llama.model.get_submodule("lm_head").weight is embedding.weight


def test_other_kinds_of_layers_are_left_alone() -> None:
    class Special(nn.Linear):
        pass

    model = nn.Sequential(Special(2, 2), nn.LayerNorm(2))
    use_few_rows_linear(model)
    assert isinstance(model[0], Special)
