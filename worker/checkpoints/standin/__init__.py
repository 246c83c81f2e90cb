"""A stand-in for the base checkpoint of SmolLM2-135M: a LoRA adapter on the weights of SmolLM2-135M-Instruct.

The real base checkpoint can be had from the hub only. `scripts/standin` trains the adapter on plain prose; README.md is
its card. This module knows the adapter's folder and checks that its files are those committed; it loads no weights.
"""

import hashlib
from pathlib import Path

from worker.errors import CheckpointError

FOLDER = Path(__file__).resolve().parent
SHA256 = "751fb631c8710975ae1adf9db1f403fb791a91e3d45ce8f801ad220e444ded8f"  # of adapter_model.safetensors
CONFIG_SHA256 = "3a6d876810ba0d2fabf99ed9bb1a63b7c2e73646ea0979d0f9765c4d87ae6684"  # of adapter_config.json
NOTE = (
    "This is a stand-in for the base model: SmolLM2-135M-Instruct with a small adapter trained on plain prose, "
    "because the real base checkpoint can be had from the hub only."
)

_WHAT_TO_DO = (
    "Restore it with `git checkout -- worker/checkpoints/standin` (or install the package again), "
    "or map the real pair from the hub with `--pair smollm2-135m`."
)


class StandinDamaged(CheckpointError):
    """The committed adapter is missing, or its sha256 is not the recorded one."""


def verify() -> None:
    """Compare both files of the adapter with their recorded sha256; raise StandinDamaged, which says what to do."""
    for name, expected in (("adapter_model.safetensors", SHA256), ("adapter_config.json", CONFIG_SHA256)):
        file = FOLDER / name
        try:
            content = file.read_bytes()
        except OSError:
            raise StandinDamaged(
                f"The stand-in's adapter is incomplete: {file} cannot be read. {_WHAT_TO_DO}"
            ) from None
        if hashlib.sha256(content).hexdigest() != expected:
            raise StandinDamaged(f"The stand-in's adapter is damaged: {file} is not the committed file. {_WHAT_TO_DO}")
