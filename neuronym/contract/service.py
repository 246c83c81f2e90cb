"""Requests of the app to the worker service other than clamps and sweeps."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuronym.contract.answers import Token
from neuronym.contract.clamp import MAX_PROMPT_CHARACTERS, Message


class TokenizeRequest(BaseModel):
    """A text or a chat, as a clamp would read it. Exactly one of `text` and `messages`.

    `load` false: refuse rather than load the model for it.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    text: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=100)] | None = None
    load: bool = True

    @model_validator(mode="after")
    def _one_input(self) -> "TokenizeRequest":
        if (self.text is None) == (self.messages is None):
            raise ValueError("give either `text` or `messages`, not both")
        return self


class TokenizeAnswer(BaseModel):
    """The exact tokens, each with the text it adds. `context` is how many the model can read and write in all."""

    model: str
    context: int
    tokens: list[Token]


class WorkerModel(BaseModel):
    """A model the worker can clamp, and its state. `loaded` is the loaded share of a model that is loading."""

    name: str
    state: Literal["available", "loading", "ready", "failed"]
    loaded: float | None = None
    error: str | None = None


class WorkerStatus(BaseModel):
    """The worker's models, device and load."""

    version: str
    device: str
    models: list[WorkerModel]
    running: int
    waiting: int
    capacity: int
