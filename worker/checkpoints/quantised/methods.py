"""The quantisation methods that are read, and the choice among them by a model's configuration."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from worker.checkpoints.quantised.bits import BitsAndBytes
from worker.checkpoints.quantised.compressed import read_compressed
from worker.checkpoints.quantised.fp8 import FP8, read_block
from worker.checkpoints.quantised.method import Quantisation, UnreadableWeight
from worker.errors import CheckpointError

MEND = "Give the checkpoint in bf16 or fp16 that it was made of, or a GGUF file."


def quantisation_of(spec: str, folder: Path, scheme: Any) -> Quantisation:
    """The quantisation method of a folder by the `quantization_config` of its configuration.

    Raises:
        CheckpointError: the method is not read, or its package is not installed.
    """
    method = scheme.get("quant_method") if isinstance(scheme, dict) else None
    make = _METHODS.get(method) if isinstance(method, str) else None
    if make is None:
        raise CheckpointError(f"{spec} is quantised in a way that is not read ({method}). {MEND}")
    try:
        return make(folder, scheme)
    except ImportError as error:
        raise CheckpointError(
            f"{spec} is quantised ({method}): install what reads it, with pip install 'neuronym[quantised]'."
        ) from error
    except UnreadableWeight as error:
        raise CheckpointError(f"{spec} is quantised ({method}), but {error}. {MEND}") from error


def _fp8(_: Path, scheme: Mapping[str, Any]) -> Quantisation:
    return FP8(read_block(scheme.get("weight_block_size")))


def _fbgemm(_: Path, __: Mapping[str, Any]) -> Quantisation:
    return FP8()


def _bits_and_bytes(_: Path, __: Mapping[str, Any]) -> Quantisation:
    return BitsAndBytes()


_METHODS: dict[str, Callable[[Path, Mapping[str, Any]], Quantisation]] = {
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "compressed-tensors": read_compressed,
    "bitsandbytes": _bits_and_bytes,
}
