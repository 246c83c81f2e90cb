"""A sweep: one clamp at many values."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from neuronym.contract.answers import Answer, Token
from neuronym.contract.clamp import MAX_CLAMPS, MAX_PROMPT_CHARACTERS, MAX_WATCH, Clamp, Message
from neuronym.contract.words import Mode, Site

MAX_SWEEP = 128


class Span(BaseModel):
    """Values at equal steps, both ends included."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[FiniteFloat, Field(alias="from")]
    to: FiniteFloat
    steps: Annotated[int, Field(ge=2, le=MAX_SWEEP)] = 21

    def values(self) -> list[float]:
        """The values, from one end to the other."""
        return [self.start + (self.to - self.start) * step / (self.steps - 1) for step in range(self.steps)]


class SweepRequest(BaseModel):
    """One clamp of several run through a range of values. Exactly one of `prompt` and `messages`.

    `clamp` is the place of the swept clamp in `clamps`; the value given there is not used. `pair` sweeps the other
    model of the model's first pair too.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=100)] | None = None
    clamps: Annotated[list[Clamp], Field(min_length=1, max_length=MAX_CLAMPS)]
    clamp: Annotated[int, Field(ge=0)] = 0
    values: Annotated[list[FiniteFloat], Field(min_length=1, max_length=MAX_SWEEP)] | Span
    watch: Annotated[list[int | str], Field(min_length=1, max_length=MAX_WATCH)]
    unit: Literal["raw", "range"] = "raw"
    positions: Literal["all", "prompt", "generated"] = "all"
    pair: bool = False

    @model_validator(mode="after")
    def _one_input(self) -> "SweepRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either `prompt` or `messages`, not both")
        if self.clamp >= len(self.clamps):
            raise ValueError(f"`clamp` is {self.clamp}, but there are {len(self.clamps)} clamps, counted from 0")
        return self

    def swept(self) -> list[float]:
        """The values, one by one."""
        return self.values.values() if isinstance(self.values, Span) else self.values


class SweptToken(Token):
    """A watched token at the first generated position: without clamps, and at each value. Natural logarithms."""

    baseline: float
    logprobs: list[float]
    probabilities: list[float]


class SweepCurve(BaseModel):
    """One model's answer to a sweep. `raw` are the swept values as raw activations."""

    model: str
    raw: list[float]
    tokens: list[SweptToken]
    seconds: float


class SweepAnswer(Answer):
    """Watched tokens over the values of one clamp, for a model or for both of its pair, the requested one first."""

    neuron: str
    site: Site
    mode: Mode
    unit: Literal["raw", "range"]
    values: list[float]
    curves: list[SweepCurve]
