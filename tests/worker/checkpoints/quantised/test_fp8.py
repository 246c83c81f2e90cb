"""FP8 weights are read with their scales: of blocks, rows and tensors, under each name that scales have."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from neuronym.contract import View
from tests.worker.checkpoints.quantised.folders import Tensors, change, configure, quantise
from worker.checkpoints.checkpoint import open_checkpoint
from worker.errors import CheckpointError

UP = "model.layers.1.mlp.up_proj.weight"
DOWN = "model.layers.1.mlp.down_proj.weight"
BLOCK = (16, 16)  # divides every width of the tiny model; transformers reads no others
BLOCKS = {"quant_method": "fp8", "weight_block_size": list(BLOCK), "activation_scheme": "dynamic"}
CHANNELS = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
        }
    },
    "ignore": ["lm_head"],
}


def pack_blocks(weight: torch.Tensor, high: int = BLOCK[0], wide: int = BLOCK[1]) -> tuple[Tensors, torch.Tensor]:
    """FP8 with a scale for each block, written block by block."""
    rows, width = weight.shape
    scales = torch.empty(-(-rows // high), -(-width // wide))
    eighths, values = torch.empty_like(weight, dtype=torch.float8_e4m3fn), torch.empty_like(weight)
    for down in range(scales.shape[0]):
        for across in range(scales.shape[1]):
            block = (slice(down * high, (down + 1) * high), slice(across * wide, (across + 1) * wide))
            scales[down, across] = weight[block].abs().max() / 448 * (1 + down + across)
            eighths[block] = (weight[block] / scales[down, across]).to(torch.float8_e4m3fn)
            values[block] = eighths[block].float() * scales[down, across]
    return {"weight": eighths, "weight_scale_inv": scales}, values


def pack_channels(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """FP8 with a scale for each row, in bf16."""
    scale = (weight.abs().amax(1, keepdim=True) / 448).bfloat16()  # (rows, 1)
    eighths = (weight / scale.float()).to(torch.float8_e4m3fn)
    return {"weight": eighths, "weight_scale": scale}, eighths.float() * scale.float()


def pack_tensor(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """FP8 with one scale; the scale of its input has no part in it."""
    scale = weight.abs().max() / 448
    eighths = (weight / scale).to(torch.float8_e4m3fn)
    return {"weight": eighths, "weight_scale": scale, "input_scale": torch.tensor(3.0)}, eighths.float() * scale


def check(folder: Path, values: Tensors, tolerance: float = 0.0) -> None:
    """Labels and live model have these values, to the bit or within a relative tolerance."""
    checkpoint, same = open_checkpoint(str(folder)), partial(torch.testing.assert_close, rtol=tolerance, atol=0.0)
    same(checkpoint.rows(View.up, 1), values[UP])
    same(checkpoint.rows(View.down, 1), values[DOWN].T)
    same(checkpoint.head(), values["lm_head.weight"])
    model, _ = checkpoint.load(torch.device("cpu"), torch.float32)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    assert parameters.keys() == values.keys()
    for name, value in values.items():
        same(parameters[name], value)


@pytest.mark.parametrize(
    "scheme, pack",
    [
        (BLOCKS, pack_blocks),
        (BLOCKS | {"weight_block_size": [32, 20]}, lambda weight: pack_blocks(weight, 32, 20)),  # with ragged edges
        ({"quant_method": "fbgemm_fp8"}, pack_channels),
        (CHANNELS, pack_channels),
        (CHANNELS, pack_tensor),
    ],
)
def test_values_are_multiplied_by_their_scales(tmp_path: Path, scheme: dict[str, Any], pack: Any) -> None:
    check(tmp_path, quantise(tmp_path, scheme, pack))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_transformers_reads_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """transformers dequantises FP8 itself where no GPU is."""
    quantise(tmp_path, BLOCKS, pack_blocks)
    with caplog.at_level(logging.ERROR):
        model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    read = open_checkpoint(str(tmp_path)).rows(View.up, 1)
    theirs = model.get_parameter(UP).float()
    torch.testing.assert_close(read, theirs, rtol=2**-8, atol=0)  # theirs may be rounded to bf16


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder)).rows(View.up, 1)
    assert "\n" not in str(caught.value)
    assert "bf16 or fp16" in str(caught.value)
    return str(caught.value)


def test_scales_that_do_not_fit(tmp_path: Path) -> None:
    quantise(tmp_path, BLOCKS, pack_blocks)
    scale = UP.replace("weight", "weight_scale_inv")
    configure(tmp_path, quantization_config=BLOCKS | {"weight_block_size": [8, 8]})
    assert "it has (3, 2) scales for 48 x 32 values in 8 x 8" in refused(tmp_path)
    configure(tmp_path, quantization_config=BLOCKS | {"weight_block_size": None})
    assert "it has (3, 2) scales for 48 rows" in refused(tmp_path)
    configure(tmp_path, quantization_config=BLOCKS | {"weight_block_size": [0, 16]})
    assert "size [0, 16], which cannot be" in refused(tmp_path)
    configure(tmp_path, quantization_config=BLOCKS)
    change(tmp_path, lambda tensors: tensors.update({scale: tensors[scale].to(torch.uint8)}))
    assert "its scale is stored as torch.uint8" in refused(tmp_path)
    change(tmp_path, lambda tensors: tensors.update({scale: torch.full((3, 2), torch.nan)}))
    with pytest.raises(CheckpointError, match="not finite"):
        open_checkpoint(str(tmp_path)).rows(View.up, 1)


def test_parts_that_are_missing_or_not_known(tmp_path: Path) -> None:
    quantise(tmp_path, BLOCKS, pack_blocks)
    zero = UP.replace("weight", "weight_zero_point")
    change(tmp_path, lambda tensors: tensors.update({zero: torch.ones(1)}))
    assert "it has a weight_zero_point, whose meaning is not known" in refused(tmp_path)
    change(tmp_path, lambda tensors: (tensors.pop(zero), tensors.pop(UP)))
    assert "it has no weight" in refused(tmp_path)
    change(tmp_path, lambda tensors: tensors.update({UP: torch.ones(48, 32)}))
    assert "it has a scale, but is stored as torch.float32" in refused(tmp_path)
    scale = UP.replace("weight", "weight_scale_inv")
    change(tmp_path, lambda tensors: tensors.update({UP: torch.ones(48, 32).to(torch.float8_e4m3fn)}))
    change(tmp_path, lambda tensors: tensors.pop(scale))
    assert "as F8_E4M3, which has no values by itself" in refused(tmp_path)


def test_plain_weights_of_a_quantised_model(tmp_path: Path) -> None:
    """A model may leave some of its projections as they were."""
    values = quantise(tmp_path, BLOCKS, pack_blocks)
    values[UP] = torch.randn(48, 32)
    change(tmp_path, lambda tensors: tensors.pop(UP.replace("weight", "weight_scale_inv")))
    change(tmp_path, lambda tensors: tensors.update({UP: values[UP]}))
    check(tmp_path, values)


def test_a_configuration_of_what_is_not_quantised(tmp_path: Path) -> None:
    """Values that need no scales are what they are, whatever the configuration still says."""
    check(tmp_path, quantise(tmp_path, BLOCKS, lambda weight: ({"weight": weight}, weight)))
