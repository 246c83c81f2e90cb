"""A GGUF header is read as gguf reads it; any damage to it is reported in a sentence."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from tests.gguf_files import make_model, write_gguf
from worker.checkpoints.checkpoint import open_checkpoint
from worker.checkpoints.gguf_header import read_header
from worker.errors import CheckpointError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a small model."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", make_model()).read_bytes()


def written(file: Path, write: Callable[[gguf.GGUFWriter], None], alignment: int = 32) -> Path:
    """Write a GGUF file with the settings and tensors that `write` adds."""
    writer = gguf.GGUFWriter(file, "llama")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    write(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_settings_of_every_type(tmp_path: Path) -> None:
    values: dict[str, tuple[Any, gguf.GGUFValueType]] = {
        "a": (200, gguf.GGUFValueType.UINT8),
        "b": (-100, gguf.GGUFValueType.INT8),
        "c": (60000, gguf.GGUFValueType.UINT16),
        "d": (-30000, gguf.GGUFValueType.INT16),
        "e": (4_000_000_000, gguf.GGUFValueType.UINT32),
        "f": (-2_000_000_000, gguf.GGUFValueType.INT32),
        "g": (0.5, gguf.GGUFValueType.FLOAT32),
        "h": (True, gguf.GGUFValueType.BOOL),
        "i": ("größer ▁ 🐈", gguf.GGUFValueType.STRING),
        "j": (2**63, gguf.GGUFValueType.UINT64),
        "k": (-(2**62), gguf.GGUFValueType.INT64),
        "l": (1e-300, gguf.GGUFValueType.FLOAT64),
        "m": ([1, 2, 3], gguf.GGUFValueType.ARRAY),
        "n": (["x", "", "▁y"], gguf.GGUFValueType.ARRAY),
        "o": ([[1, 2], [3]], gguf.GGUFValueType.ARRAY),
    }

    def write(writer: gguf.GGUFWriter) -> None:
        for key, (value, kind) in values.items():
            writer.add_key_value(key, value, kind)

    settings = read_header(written(tmp_path / "x.gguf", write)).settings
    assert {key: settings[key] for key in values} == {key: value for key, (value, _) in values.items()}


@pytest.mark.parametrize("alignment", [32, 128])
def test_tensors_lie_where_gguf_finds_them(tmp_path: Path, alignment: int) -> None:
    values = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)

    def write(writer: gguf.GGUFWriter) -> None:
        for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.F32):
            writer.add_tensor(kind.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        writer.add_tensor("flat", values[0])

    file = written(tmp_path / "x.gguf", write, alignment)
    header = read_header(file)
    for tensor in gguf.GGUFReader(file).tensors:
        packed = header.tensors[tensor.name]
        assert (packed.kind, packed.offset) == (tensor.tensor_type, tensor.data_offset)
        assert packed.shape == tuple(reversed([int(size) for size in tensor.shape]))
        assert packed.rows * packed.row_bytes == tensor.n_bytes


def refused(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_header(file)
    assert "\n" not in str(caught.value)
    assert file.name in str(caught.value)
    return str(caught.value)


def test_what_is_no_gguf_file_of_ours(tiny: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    assert "cut short" in refused(file, b"")
    assert "is not a GGUF file" in refused(file, b"PK" + tiny[2:])
    assert "big-endian" in refused(file, tiny[:4] + struct.pack(">I", 3) + tiny[8:])
    assert "version 1;" in refused(file, tiny[:4] + struct.pack("<I", 1) + tiny[8:])
    assert "version 9;" in refused(file, tiny[:4] + struct.pack("<I", 9) + tiny[8:])


def test_counts_and_lengths_that_cannot_be(tiny: bytes, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    for count in (2**63, 2**40, 2**25, 10**6):
        assert "there cannot be so many" in refused(file, tiny[:16] + struct.pack("<Q", count) + tiny[24:])
        assert "x.gguf" in refused(file, tiny[:8] + struct.pack("<Q", count) + tiny[16:])
        assert "x.gguf" in refused(file, tiny[:24] + struct.pack("<Q", count) + tiny[32:])
    at = tiny.index(b"tokenizer.ggml.tokens") + len("tokenizer.ggml.tokens") + 8
    for count in (2**63, 2**30, 10**6):
        assert "there cannot be so many" in refused(file, tiny[:at] + struct.pack("<Q", count) + tiny[at + 8 :])


def test_a_way_of_packing_that_is_not_known(tiny: bytes, tmp_path: Path) -> None:
    at = tiny.index(b"output_norm.weight") + len("output_norm.weight") + 4 + 8
    for kind in (99, 15, 24):  # never given away; only for sums; whole numbers
        sentence = refused(tmp_path / "x.gguf", tiny[:at] + struct.pack("<I", kind) + tiny[at + 4 :])
        assert f"'output_norm.weight' in a way that cannot be read (type {kind})" in sentence


def test_names_that_are_said_twice(tiny: bytes, tmp_path: Path) -> None:
    twice = tiny.replace(b"blk.1.ffn_up.weight", b"blk.0.ffn_up.weight")
    assert "two of its tensors have one name" in refused(tmp_path / "x.gguf", twice)
    twice = tiny.replace(b"tokenizer.ggml.bos_token_id", b"tokenizer.ggml.eos_token_id")
    assert "says tokenizer.ggml.eos_token_id twice" in refused(tmp_path / "x.gguf", twice)


def test_a_file_that_is_cut_short_anywhere(tiny: bytes, tmp_path: Path) -> None:
    for length in [*range(300), *range(300, len(tiny), 997), len(tiny) - 300]:
        assert "cut short" in refused(tmp_path / "x.gguf", tiny[:length])


def test_any_damage_ends_in_a_sentence(tiny: bytes, tmp_path: Path) -> None:
    chance, file = random.Random(0), tmp_path / "x.gguf"
    header = tiny.index(b"token_embd.weight") + 2000
    read = 0
    for _ in range(150):
        damaged = bytearray(tiny)
        for _ in range(chance.choice([1, 1, 2, 20])):
            at = chance.choice([chance.randrange(1500), chance.randrange(header)])
            damaged[at] = chance.choice([0, 1, 255, chance.randrange(256)])
        file.write_bytes(damaged)
        try:
            checkpoint = open_checkpoint(str(file))
            _ = checkpoint.vocabulary
            checkpoint.load(torch.device("cpu"), torch.float32)
            read += 1
        except CheckpointError as error:
            assert "\n" not in str(error)
    assert 0 < read < 150
