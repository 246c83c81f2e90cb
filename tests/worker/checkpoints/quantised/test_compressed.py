"""compressed-tensors: packed integers with the scales of groups of columns, and what its converter would pass over."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationScheme

from neuronym.contract import View
from tests.worker.checkpoints.quantised.folders import Tensors, change, configure, quantise
from tests.worker.checkpoints.quantised.test_fp8 import CHANNELS, DOWN, UP, check, pack_channels
from worker.checkpoints.checkpoint import open_checkpoint
from worker.errors import CheckpointError

GROUP = 16  # columns that share a scale


def scheme(weights: dict[str, Any], **settings: Any) -> dict[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return CHANNELS | {"config_groups": groups} | settings


FOUR_BITS = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": GROUP, "symmetric": True}
PACKED = scheme(FOUR_BITS, format="pack-quantized")
EIGHT_BITS = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
ROUNDED = scheme(EIGHT_BITS, format="int-quantized")
TOKENS = {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True}
ROUNDED["config_groups"]["group_0"]["input_activations"] = TOKENS


def pack_groups(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """Integers from -8 to 7, eight to a 32-bit word with the first in the lowest bits, and a scale for each group."""
    rows, width = weight.shape
    groups = weight.reshape(rows, width // GROUP, GROUP)
    scale = groups.abs().amax(2) / 7  # (rows, groups)
    whole = (groups / scale[..., None]).round().clamp(-8, 7)
    shifted = (whole.reshape(rows, width // 8, 8) + 8).long()  # 0 to 15
    words = sum(shifted[..., place] << 4 * place for place in range(8))
    assert isinstance(words, torch.Tensor)
    signed = torch.where(words >= 2**31, words - 2**32, words).int()  # (rows, width / 8)
    stored = {"weight_packed": signed, "weight_scale": scale, "weight_shape": torch.tensor([rows, width])}
    return stored, (whole * scale[..., None]).reshape(rows, width)


def pack_rows(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """Integers of 8 bits, and a scale for each row."""
    scale = weight.abs().amax(1, keepdim=True) / 127
    whole = (weight / scale).round().to(torch.int8)
    return {"weight": whole, "weight_scale": scale}, whole * scale


def test_integers_of_four_bits(tmp_path: Path) -> None:
    check(tmp_path, quantise(tmp_path, PACKED, pack_groups))
    assert open_checkpoint(str(tmp_path)).reader.dtype == "compressed-tensors pack-quantized"


def test_integers_of_eight_bits(tmp_path: Path) -> None:
    check(tmp_path, quantise(tmp_path, ROUNDED, pack_rows))


def test_floats_of_four_bits(tmp_path: Path) -> None:
    """NVIDIA's FP4 as the package writes it, with the values that the package gives for it."""
    weights = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True}
    stated = scheme(weights | {"scale_dtype": "torch.float8_e4m3fn"}, format="nvfp4-pack-quantized")
    group = QuantizationScheme.model_validate(stated["config_groups"]["group_0"])
    compressor = BaseCompressor.get_value_from_registry("nvfp4-pack-quantized")

    def pack(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        overall = torch.tensor([448 * 6 / float(weight.abs().max())])
        scale = weight.reshape(len(weight), -1, 16).abs().amax(2) / 6 * overall
        parts = {"weight": weight, "weight_scale": scale, "weight_global_scale": overall}
        stored = compressor.compress(parts, group)
        return stored, compressor.decompress(dict(stored), group)["weight"].float()

    values = quantise(tmp_path, stated, pack)
    assert torch.unique(values[UP]).numel() > 20
    check(tmp_path, values)


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder)).rows(View.down, 1)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"format": "marlin-24"}, "its format 'marlin-24' is not read"),
        ({"format": None}, "its format None is not read"),
        ({"format": "int-quantized"}, "its format is int-quantized, but its weights are pack-quantized"),
        ({"transform_config": {"config_groups": {"u": {"type": "hadamard"}}}}, "its weights are rotated"),
        ({"sparsity_config": {"format": "sparse-24-bitmask"}}, "its weights are sparse (sparse-24-bitmask)"),
        ({"config_groups": None}, "its package cannot read it"),
        ({"ignore": ["re:.*down_proj"]}, f"{DOWN} cannot be read: its package"),
    ],
)
def test_what_its_package_would_read_wrongly(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    quantise(tmp_path, PACKED, pack_groups)
    configure(tmp_path, quantization_config=PACKED | settings)
    assert words in refused(tmp_path)


def test_the_same_settings_of_fp8(tmp_path: Path) -> None:
    """FP8 needs no package; what would change its meaning is refused all the same."""
    quantise(tmp_path, CHANNELS, pack_channels)
    configure(tmp_path, quantization_config=CHANNELS | {"transform_config": {"config_groups": {"u": {}}}})
    assert "its weights are rotated" in refused(tmp_path)


@pytest.mark.parametrize("status", [{"quantization_status": "frozen"}, {}])
def test_the_status_that_a_converter_left_does_not_matter(tmp_path: Path, status: dict[str, str]) -> None:
    """The package's own example has `frozen`. What counts is how the weights are stored."""
    stated = {name: value for name, value in ROUNDED.items() if name != "quantization_status"}
    values = quantise(tmp_path, stated | status, pack_rows)
    check(tmp_path, values)
    change(tmp_path, lambda tensors: tensors.update({DOWN: tensors[DOWN].float()}))
    assert "it has a scale, but is stored as torch.float32" in refused(tmp_path)


def test_fp8_with_a_scale_a_group(tmp_path: Path) -> None:
    weights = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": GROUP, "symmetric": True}
    stated = scheme(weights, format="float-quantized")
    stated["config_groups"]["group_0"]["input_activations"] = TOKENS | {"type": "float"}

    def pack(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
        groups = weight.reshape(len(weight), -1, GROUP)
        scale = groups.abs().amax(2) / 448
        eighths = (groups / scale[..., None]).to(torch.float8_e4m3fn)
        stored = {"weight": eighths.reshape(weight.shape), "weight_scale": scale}
        return stored, (eighths.float() * scale[..., None]).reshape(weight.shape)

    check(tmp_path, quantise(tmp_path, stated, pack))


def test_an_order_of_columns_is_not_ignored(tmp_path: Path) -> None:
    quantise(tmp_path, PACKED, pack_groups)
    order = DOWN.replace("weight", "weight_g_idx")
    change(tmp_path, lambda tensors: tensors.update({order: torch.randperm(48, dtype=torch.int32)}))
    assert "weight_g_idx" in refused(tmp_path)


def test_a_scale_that_is_missing(tmp_path: Path) -> None:
    quantise(tmp_path, PACKED, pack_groups)
    change(tmp_path, lambda tensors: tensors.pop(DOWN.replace("weight", "weight_scale")))
    assert "weight_scale" in refused(tmp_path)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quantise(tmp_path, PACKED, pack_groups)
    monkeypatch.setitem(sys.modules, "compressed_tensors.entrypoints.convert", None)
    assert "pip install 'neuronym[quantised]'" in refused(tmp_path)
