"""bitsandbytes: 8 bits with a scale a row, and 4 bits with the scales of blocks, which may be quantised themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.checkpoints import make_checkpoint
from tests.worker.checkpoints.quantised.folders import Tensors, change, configure, quantise
from tests.worker.checkpoints.quantised.test_fp8 import UP, check
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.quantised.bits import BitsAndBytes
from worker.errors import CheckpointError

SAMPLE = Path(__file__).with_name("bitsandbytes.safetensors")
SCHEME = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
ROUNDED_ONCE_MORE = 2**-22
BLOCK = 64  # values that share a scale
# The 16 values of NF4, from its paper (arXiv 2305.14314, appendix E).
NF4 = torch.tensor(
    [
        -1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0,
        0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0,
    ]
)  # fmt: skip


def pack_rows(weight: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """Integers of 8 bits, the largest value of each row beside them, and the number of the layout."""
    largest = weight.abs().amax(1)  # (rows,)
    whole = (weight / largest[:, None] * 127).round().to(torch.int8)
    stored = {"weight": whole, "SCB": largest, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return stored, whole * (largest[:, None] / 127)


def as_bytes(settings: dict[str, Any]) -> torch.Tensor:
    """Settings as the bytes of their JSON text."""
    return torch.tensor(list(json.dumps(settings).encode()), dtype=torch.uint8)


def pack_nf4(weight: torch.Tensor, size: int = BLOCK) -> tuple[Tensors, torch.Tensor]:
    """Places in the list of 16 values, two to a byte with the first in the upper half, and a scale for each block."""
    blocks = weight.reshape(-1, size)
    largest = blocks.abs().amax(1)  # (blocks,)
    places = (blocks[..., None] / largest[:, None, None] - NF4).abs().argmin(2).reshape(-1)
    packed = (places[0::2] << 4 | places[1::2]).to(torch.uint8)[:, None]
    state = {"quant_type": "nf4", "blocksize": size, "dtype": "float32", "shape": list(weight.shape)}
    stored = {
        "weight": packed,
        "weight.absmax": largest,
        "weight.quant_map": NF4,
        "weight.quant_state.bitsandbytes__nf4": as_bytes(state),
    }
    return stored, (NF4[places].reshape(-1, size) * largest[:, None]).reshape(weight.shape)


def test_four_bits(tmp_path: Path) -> None:
    check(tmp_path, quantise(tmp_path, SCHEME, pack_nf4), ROUNDED_ONCE_MORE)


@pytest.mark.parametrize("kind, exact", [("nf4", False), ("fp4", False), ("int8", True)])
def test_what_bitsandbytes_wrote(kind: str, exact: bool) -> None:
    """Written and read by bitsandbytes itself, with quantised scales; its 4-bit values are rounded to bf16."""
    sample = load_file(SAMPLE)
    parts = {name.removeprefix(f"{kind}."): part for name, part in sample.items() if name.startswith(f"{kind}.")}
    assert kind == "int8" or "weight.nested_absmax" in parts
    values = BitsAndBytes().dequantise("", parts)
    torch.testing.assert_close(
        values, sample[f"expected.{kind}"].float(), rtol=ROUNDED_ONCE_MORE if exact else 2**-8, atol=0
    )


@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float32, torch.int8])
def test_bytes_that_are_stored_as_another_type(storage: torch.dtype) -> None:
    """As trainers ask for that shard a model by its type."""
    stored, values = pack_nf4(torch.randn(48, 32))
    stored["weight"] = stored["weight"].reshape(-1).view(storage)[:, None]
    torch.testing.assert_close(BitsAndBytes().dequantise("", stored), values, rtol=ROUNDED_ONCE_MORE, atol=0)


@pytest.mark.parametrize("block", [64, 256])
def test_blocks_that_cross_the_ends_of_rows(block: int) -> None:
    """Blocks are counted through a weight as a whole."""
    stored, values = pack_nf4(torch.randn(8, 96), block)
    torch.testing.assert_close(BitsAndBytes().dequantise("", stored), values, rtol=ROUNDED_ONCE_MORE, atol=0)


def test_eight_bits(tmp_path: Path) -> None:
    check(tmp_path, quantise(tmp_path, SCHEME | {"load_in_4bit": False}, pack_rows), ROUNDED_ONCE_MORE)


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(str(folder)).reader.read(UP)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "pack, part, value, words",
    [
        (pack_rows, "weight_format", torch.tensor(2, dtype=torch.uint8), "not stored in rows of int8"),
        (pack_rows, "SCB", torch.ones(7), "not stored in rows of int8"),
        (pack_rows, "weight_scale", torch.ones(1), "a weight_scale, whose meaning is not known"),
        (pack_nf4, "weight", torch.zeros(10, 1, dtype=torch.uint8), "not stored in pairs of 4 bits for 48 x 32"),
        (pack_nf4, "weight", torch.zeros(768, 1), "not stored in pairs of 4 bits"),
        (pack_nf4, "weight", None, "it has no weight"),
        (pack_nf4, "weight.absmax", None, "it has no weight.absmax"),
        (pack_nf4, "weight.absmax", torch.ones(3), "it has 3 scales for 1536 values in blocks of 64"),
        (pack_nf4, "weight.quant_map", torch.ones(8), "not stored in pairs of 4 bits"),
        (pack_nf4, "weight.nested_absmax", torch.ones(1), "a weight.nested_absmax, whose meaning is not known"),
        (pack_nf4, "weight.quant_state.bitsandbytes__nf4", None, "it has 0 states"),
        (pack_nf4, "weight.quant_state.bitsandbytes__nf4", torch.zeros(4, dtype=torch.uint8), "state of its"),
        (
            pack_nf4,
            "weight.quant_state.bitsandbytes__nf4",
            as_bytes({"shape": [48, 32], "blocksize": 0}),
            "blocks of 0",
        ),
        (pack_nf4, "weight_scale", torch.ones(1), "a weight_scale, whose meaning is not known"),
    ],
)
def test_parts_that_do_not_fit(tmp_path: Path, pack: Any, part: str, value: torch.Tensor | None, words: str) -> None:
    quantise(tmp_path, SCHEME, pack)
    name = UP.replace("weight", part)
    change(tmp_path, lambda tensors: tensors.pop(name, None))
    if value is not None:
        change(tmp_path, lambda tensors: tensors.update({name: value}))
    assert words in refused(tmp_path)


def test_gpt2_may_be_stored_either_way_round(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "gpt2", "gpt2")
    name = "transformer.h.1.mlp.c_fc.weight"
    stored, _ = pack_rows(load_file(folder / "model.safetensors")[name])
    change(folder, lambda tensors: tensors.update({name.replace("weight", part): stored[part] for part in stored}))
    configure(folder, quantization_config=SCHEME)
    with pytest.raises(CheckpointError, match="a quantised gpt2 model, which may store its weights either way"):
        open_checkpoint(str(folder))


def test_values_that_only_the_configuration_calls_quantised(tmp_path: Path) -> None:
    """As a merged QLoRA adapter leaves it. The live model computes with them, too."""
    check(tmp_path, quantise(tmp_path, SCHEME, lambda weight: ({"weight": weight}, weight)))
    model, _ = open_checkpoint(str(tmp_path)).load(torch.device("cpu"), torch.float32)
    assert torch.isfinite(model(torch.tensor([[1, 2]])).logits).all()


def test_where_a_text_ends_is_as_the_folder_says(tmp_path: Path) -> None:
    quantise(tmp_path, SCHEME, pack_nf4)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 7]}))
    model, _ = open_checkpoint(str(tmp_path)).load(torch.device("cpu"), torch.float32)
    assert model.generation_config is not None and model.generation_config.eos_token_id == [0, 7]
