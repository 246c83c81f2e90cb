"""The gain through which an MLP reads the stream is that of transformers' own norm, in every family."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from neuronym.contract import View
from tests.checkpoints import WIDTH, configurations, make_checkpoint
from worker.checkpoints.checkpoint import open_checkpoint
from worker.errors import CheckpointError

LAYER = 2
IDS = torch.tensor([[5, 40, 77, 120, 9]])


@pytest.mark.parametrize("family", configurations())
def test_a_row_times_the_input_gain_reads_the_stream_itself(family: str, tmp_path: Path) -> None:
    """In a forward pass, `up` and `gate` give the product of the stream's direction and rows times the gain."""
    folder = make_checkpoint(tmp_path / family, family)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        embedding: Tensor = model.get_input_embeddings().get_parameter("weight")
        embedding.mul_(100)  # so that the norm's epsilon is nothing beside it
        for name, weight in model.named_parameters():  # no norm of any layer is like another
            if weight.shape == (WIDTH,) and name.endswith("weight"):
                weight.copy_(torch.randn(WIDTH))
    model.save_pretrained(folder)
    checkpoint = open_checkpoint(str(folder))
    layer = f"{checkpoint.family.layers_path}.{LAYER}."
    stream = recorded_input(model, layer + checkpoint.family.norm_before)
    if isinstance(model.get_submodule(layer + checkpoint.family.norm_before), nn.LayerNorm):
        stream = stream - stream.mean(1, keepdim=True)  # this kind takes the mean off first
    direction = stream / stream.square().mean(1, keepdim=True).sqrt()  # (positions, width)
    for view, projection in ((View.up, checkpoint.family.up), (View.gate, checkpoint.family.gate)):
        if projection:
            expected = recorded_output(model, layer + projection)  # (positions, neurons)
            read = direction @ (checkpoint.stored_rows(view, LAYER) * checkpoint.input_gain(LAYER)).T
            assert torch.allclose(read, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
            assert not torch.allclose(direction @ checkpoint.stored_rows(view, LAYER).T, expected, rtol=0.1)


def recorded_input(model: PreTrainedModel, module: str) -> Tensor:
    """What a module is given when the model runs, `(positions, width)`."""
    seen: list[Tensor] = []
    with model.get_submodule(module).register_forward_pre_hook(lambda _, args: seen.append(args[0][0])):
        model(IDS)
    return seen[0].detach()


def recorded_output(model: PreTrainedModel, module: str) -> Tensor:
    """What a module gives when the model runs, `(positions, features)`."""
    seen: list[Tensor] = []
    with model.get_submodule(module).register_forward_hook(lambda _, __, output: seen.append(output[0])):
        model(IDS)
    return seen[0].detach()


@pytest.mark.parametrize("damage", [torch.full((WIDTH,), torch.inf), torch.ones(WIDTH + 1)])
def test_a_damaged_gain_is_refused(damage: Tensor, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "llama")
    name = "model.layers.1.post_attention_layernorm"
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {f"{name}.weight": damage}, folder / "model.safetensors", metadata={"format": "pt"})
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.input_gain(0).shape == (WIDTH,)
    with pytest.raises(CheckpointError, match=f"{name} is damaged: it should hold {WIDTH} finite values"):
        checkpoint.input_gain(1)
