"""The settings of a GGUF file that describe its model, each asked for by name and checked as it is read."""

from typing import Any

from worker.checkpoints.gguf_header import Header
from worker.errors import CheckpointError

LARGEST = 2**24  # of any size: more than any model has of anything, and still no size in bytes overflows
# Settings that say nothing of what the model computes.
SILENT = ("vocab_size", "pooling_type", "tensor_data_layout", "expert_used_count", "rope.scaling.finetuned")


class Settings:
    """The settings under an architecture's name; remembers which were asked for."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.architecture = str(header.settings["general.architecture"])
        self._asked = set(SILENT)

    def get(self, name: str) -> Any:
        """A setting, or None."""
        self._asked.add(name)
        return self.header.settings.get(f"{self.architecture}.{name}")

    def number(self, name: str, default: float | None = None) -> float:
        """A setting that is a number."""
        value = self.get(name)
        value = default if value is None else value
        if value is None:
            raise CheckpointError(f"{self._says(name)} is missing. Download it again.")
        if not isinstance(value, int | float) or not abs(value) < float("inf"):
            raise CheckpointError(f"{self._says(name)} is no single number, which no model known here has.")
        return value

    def size(self, name: str, default: int | None = None) -> int:
        """A setting that counts something."""
        value = self.number(name, default)
        if value != int(value) or not 0 < value <= LARGEST:
            raise CheckpointError(f"{self._says(name)} is {value}, which cannot be. Download it again.")
        return int(value)

    def only(self, name: str, value: object) -> None:
        """Refuse any other value of a setting than the one that can be read; it may be left out."""
        said = self.get(name)
        if said is not None and said != value:
            raise CheckpointError(f"{self._says(name)} is {said!r}; only {value!r} can be read.")

    def has(self, tensor: str) -> bool:
        """Whether there is such a tensor in the first layer."""
        return f"blk.0.{tensor}" in self.header.tensors

    def unknown(self) -> list[str]:
        """Settings of the architecture that were not asked for."""
        prefix = f"{self.architecture}."
        names = [key.removeprefix(prefix) for key in self.header.settings if key.startswith(prefix)]
        return [f"{prefix}{name}" for name in names if name not in self._asked]

    def _says(self, name: str) -> str:
        return f"{self.header.file.name} cannot be read: its setting {self.architecture}.{name}"
