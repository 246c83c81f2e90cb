"""The settings of a GGUF file that describe its model, each read by name and checked as it is read."""

from typing import Any

from worker.checkpoints.gguf_header import GGUFHeader
from worker.errors import CheckpointError

LARGEST = 2**24  # of any size: more than models have, and small enough that no size in bytes overflows
# Settings that have no effect on what the model computes.
WITHOUT_EFFECT = ("vocab_size", "pooling_type", "tensor_data_layout", "expert_used_count", "rope.scaling.finetuned")


class GGUFSettings:
    """The settings under an architecture's name; remembers which have been read."""

    def __init__(self, header: GGUFHeader) -> None:
        self.header = header
        self.architecture = str(header.settings["general.architecture"])
        self._read = set(WITHOUT_EFFECT)

    def get(self, name: str) -> Any:
        """A setting's value, or None if the file lacks it."""
        self._read.add(name)
        return self.header.settings.get(f"{self.architecture}.{name}")

    def number(self, name: str, default: float | None = None) -> float:
        """The value of a setting that is a finite number."""
        value = self.get(name)
        value = default if value is None else value
        if value is None:
            raise CheckpointError(f"{self._refusal(name)} is missing. Download it again.")
        if not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise CheckpointError(f"{self._refusal(name)} is no single number, which no model known here has.")
        return value

    def size(self, name: str, default: int | None = None) -> int:
        """The value of a setting that is a count, from 1 to LARGEST."""
        value = self.number(name, default)
        if value != int(value) or not 0 < value <= LARGEST:
            raise CheckpointError(f"{self._refusal(name)} is {value}, which cannot be. Download it again.")
        return int(value)

    def only(self, name: str, value: object) -> None:
        """Refuse a setting with another value than `value`; a file may leave the setting out."""
        stated = self.get(name)
        if stated is not None and stated != value:
            raise CheckpointError(f"{self._refusal(name)} is {stated!r}; only {value!r} can be read.")

    def has(self, tensor: str) -> bool:
        """Whether the first layer has this tensor."""
        return f"blk.0.{tensor}" in self.header.tensors

    def unknown(self) -> list[str]:
        """The settings of the architecture that have not been read."""
        prefix = f"{self.architecture}."
        names = [key.removeprefix(prefix) for key in self.header.settings if key.startswith(prefix)]
        return [f"{prefix}{name}" for name in names if name not in self._read]

    def _refusal(self, name: str) -> str:
        return f"{self.header.file.name} cannot be read: its setting {self.architecture}.{name}"
