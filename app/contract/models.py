"""What a label file holds."""

from pydantic import BaseModel

from app.contract.answers import Answer
from app.contract.measurements import Measurements
from app.contract.words import Lens, Role, View


class PairRole(BaseModel):
    """A model's place in one pair."""

    name: str
    role: Role
    other: str
    note: str | None = None


class ModelSummary(BaseModel):
    """A mapped checkpoint, with its provenance."""

    name: str
    layers: int
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
    settings: dict[str, str | int | float | bool | list[str] | None]
    views: list[View]
    lenses: list[Lens]
    mapped_at: str
    seconds: float
    pairs: list[PairRole]
    measurements: Measurements


class ModelsAnswer(Answer):
    """What the label file holds."""

    models: list[ModelSummary]


class ModelAnswer(Answer, ModelSummary):
    """A mapped checkpoint, with its measurements layer by layer."""
