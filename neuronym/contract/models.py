"""The models and pairs of a label file."""

from pydantic import BaseModel, Field

from neuronym.contract.answers import Answer
from neuronym.contract.layers import mapped_layers, name_layers
from neuronym.contract.measurements import Measurements
from neuronym.contract.words import Lens, Role, View


class PairRole(BaseModel):
    """A model's role in one pair, with the other model."""

    name: str
    role: Role
    other: str
    note: str | None = None


class ModelSummary(BaseModel):
    """A mapped checkpoint, with its provenance."""

    name: str
    layers: int
    mapped_layers: list[int] | None = Field(
        default=None, description="The first and the last mapped layer, where only a part of the model is mapped."
    )
    neurons: int
    width: int
    vocab: int
    source: str
    revision: str | None
    source_hash: str
    adapter: str | None
    architecture: str
    gated: bool
    tied: bool
    chat: bool
    note: str | None
    tokenizer: str
    dtype: str
    device: str
    versions: dict[str, str]
    settings: dict[str, str | int | float | bool | list[str] | list[int] | dict[str, str] | None]
    views: list[View]
    lenses: list[Lens]
    mapped_at: str
    seconds: float
    pairs: list[PairRole]
    measurements: Measurements

    @property
    def mapped(self) -> range:
        """The layers that are mapped."""
        return mapped_layers(self.settings, self.layers)

    @property
    def extent(self) -> str:
        """The number of layers, with the mapped ones if they are a part: `30`, or `28 to 29 of 30`."""
        part = name_layers(self.mapped).partition(" ")[2]
        return f"{part} of {self.layers}" if self.mapped_layers else str(self.layers)


class ModelsAnswer(Answer):
    """The mapped models of the library."""

    models: list[ModelSummary]


class ModelAnswer(Answer, ModelSummary):
    """A mapped checkpoint, with its measurements layer by layer."""
