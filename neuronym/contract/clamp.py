"""A clamped generation: the request, the answer, and the events of a stream."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from neuronym.contract.answers import Answer, ErrorAnswer, Token
from neuronym.contract.words import Mode, Site

MAX_CLAMPS = 64
MAX_NEW_TOKENS = 1024
MAX_PROMPT_CHARACTERS = 100_000
MAX_WATCH = 64


class Clamp(BaseModel):
    """One neuron held at, moved by, or scaled by a value."""

    model_config = ConfigDict(extra="forbid")

    layer: Annotated[int, Field(ge=0)]
    index: Annotated[int, Field(ge=0)]
    site: Site = Site.up
    mode: Mode = Mode.set
    value: FiniteFloat


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)]


class ClampRequest(BaseModel):
    """A generation with and without clamps. Exactly one of `prompt` and `messages`."""

    model_config = ConfigDict(extra="forbid")

    model: str
    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=100)] | None = None
    clamps: Annotated[list[Clamp], Field(max_length=MAX_CLAMPS)] = []
    unit: Literal["raw", "range"] = "raw"
    positions: Literal["all", "prompt", "generated"] = "all"
    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] = 48
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    baseline: bool = True
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    watch: Annotated[list[int | str], Field(max_length=MAX_WATCH)] = []
    stream: bool = False

    @model_validator(mode="after")
    def _one_input(self) -> "ClampRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either `prompt` or `messages`, not both")
        return self


class TopToken(Token):
    """An alternative at one position."""

    logprob: float


class GeneratedToken(Token):
    """A generated token; `text` is what it adds to the text (empty while a character is incomplete)."""

    logprob: float
    top: list[TopToken]


class GeneratedText(BaseModel):
    """One finished run. `repeated` is the share of its 4-grams of tokens that came before in it."""

    text: str
    tokens: list[GeneratedToken]
    finish_reason: Literal["length", "stop"]
    repeated: float = 0.0


class Watched(BaseModel):
    """A watched token's natural-log probability at the first generated position."""

    token_id: int
    token: str
    baseline: float | None
    clamped: float
    delta: float | None


class ClampSummary(BaseModel):
    """The figures of a run that has ended."""

    watch: list[Watched]
    seed: int
    model: str
    seconds: float


class ClampResult(ClampSummary):
    """A whole run as the worker answers it, without the id of the library's state."""

    runs: dict[Literal["baseline", "clamped"], GeneratedText]


class ClampAnswer(Answer, ClampResult):
    """The whole answer to a clamp that is not streamed."""


class ClampWaiting(BaseModel):
    """Comes before the start, any number of times: what the run waits for.

    `position` is how many runs come first; once it is 0, `loading` is the share of the model that is loaded.
    """

    event: Literal["waiting"] = "waiting"
    model: str
    position: int
    loading: float | None = None


class ClampStart(BaseModel):
    """First event of the run itself. `prompt_tokens` are the exact ids the model read."""

    event: Literal["start"] = "start"
    run: str | None = None  # the id of the library's state; the app adds it, the worker leaves it out
    model: str
    seed: int
    prompt_tokens: list[int]


class ClampToken(GeneratedToken):
    """One token of one run."""

    event: Literal["token"] = "token"
    run: Literal["baseline", "clamped"]
    index: int


class ClampDone(BaseModel):
    """One run has ended."""

    event: Literal["done"] = "done"
    run: Literal["baseline", "clamped"]
    text: str
    finish_reason: Literal["length", "stop"]
    repeated: float = 0.0


class ClampEnd(ClampSummary):
    """Last event of a stream that went well."""

    event: Literal["summary"] = "summary"
    run: str | None = None


class ClampError(ErrorAnswer):
    """Last event of a stream that failed after it began."""

    event: Literal["error"] = "error"


ClampEvent = Annotated[
    ClampWaiting | ClampStart | ClampToken | ClampDone | ClampEnd | ClampError, Field(discriminator="event")
]
