"""The types that cross a wire: REST answers, and requests between app and worker.

Field names are a promise to scripts. The module knows nothing of tables, queries or torch.
Values that are not measured yet are null, never absent.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class View(StrEnum):
    """Which weight vector of a neuron is decoded: rows of up_proj and gate_proj read, columns of down_proj write."""

    up = "up"
    gate = "gate"
    down = "down"


class Lens(StrEnum):
    """How it is decoded: `logit` is W_U @ w, `cosine` the same with both sides at unit length."""

    logit = "logit"
    cosine = "cosine"


class Side(StrEnum):
    """Highest or lowest scoring tokens."""

    top = "top"
    bottom = "bottom"


class Strength(StrEnum):
    """How far a label stands above its control; the rule is on the method page."""

    noise = "noise"
    weak = "weak"
    strong = "strong"


class Kind(StrEnum):
    """What a token of the vocabulary is."""

    word = "word"  # starts a word: carries a leading space
    continuation = "continuation"
    special = "special"
    bytes = "bytes"  # not valid UTF-8 by itself


class Site(StrEnum):
    """Where a clamp takes hold in `down_proj(act(gate_proj(x)) * up_proj(x))`."""

    up = "up"  # output of up_proj (hook_pre_linear)
    gate = "gate"  # output of gate_proj, before the activation (hook_pre)
    act = "act"  # the product, input of down_proj (hook_post)


class Mode(StrEnum):
    """What a clamp does to the value at its site."""

    set = "set"
    add = "add"
    scale = "scale"


class Direction(StrEnum):
    """The end of a neuron's own range at which its effect was measured."""

    high = "high"
    low = "low"


class Role(StrEnum):
    """A checkpoint's place in a pair: before or after tuning."""

    base = "base"
    instruct = "instruct"


class Token(BaseModel):
    """A vocabulary entry."""

    token_id: int
    text: str


class ScoredToken(Token):
    """A token of a label with its score under the label's lens."""

    score: float


class VocabularyToken(Token):
    """A token with the vocabulary it belongs to: ids alone mean nothing across tokenizers."""

    tokenizer: str
    kind: Kind


class Answer(BaseModel):
    """Every answer names the label file it was read from; `run` is also its ETag."""

    run: str


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


class ModelsAnswer(Answer):
    """What the label file holds."""

    models: list[ModelSummary]


class NeuronRef(BaseModel):
    """The address of a neuron in a model."""

    model: str
    neuron: str
    layer: int
    index: int


class Counterpart(BaseModel):
    """The same neuron in the other model of the pair, under the same view and lens."""

    model: str
    same_top: bool
    near_tie: bool
    cosine: float
    top_tokens: list[Token]


class SearchResult(NeuronRef):
    """One (model, neuron, view, lens): `token` is its best match, `matches` the others."""

    view: View
    lens: Lens
    side: Side
    rank: int
    token_id: int
    token: str
    score: float
    z: float
    matches: list[Token]
    strength: Strength | None
    layer_z: float | None
    top_tokens: list[Token]
    effect: float | None
    counterpart: Counterpart | None


class SearchAnswer(Answer):
    """Neurons whose label holds the asked tokens. `notes` are sentences about what was asked."""

    query: dict[str, str | int | float | None]
    tokens: list[VocabularyToken]
    pieces: list[VocabularyToken]
    neurons: list[NeuronRef]
    notes: list[str]
    total: int
    limit: int
    offset: int
    results: list[SearchResult]


class LabelAnswer(BaseModel):
    """A neuron's label under one view and lens. `probability` is the top token's softmax share (logit lens)."""

    top_tokens: list[ScoredToken]
    bottom_tokens: list[ScoredToken]
    norm: float
    mean: float
    std: float
    skew: float | None
    kurtosis: float | None
    z: float
    margin: float
    layer_z: float | None
    strength: Strength | None
    logsumexp: float | None
    probability: float | None


class ActivityAnswer(BaseModel):
    """What a neuron's value at a site does on text: `q` are its values at the quantiles `p`."""

    p: list[float]
    q: list[float]
    fires: float | None
    contexts: list[str]


class EffectAnswer(BaseModel):
    """What clamping did: changes of log-probability in nats, averaged over prompts.

    `token` is the label token of the view the site belongs to, `delta` its change, `control` the change of a
    mismatched neuron's label token, `rank` the token's place among all changes, `kl` the whole prediction's change.
    """

    value: float
    token: Token
    delta: float
    control: float
    rank: int
    kl: float
    moved: Token
    moved_delta: float


class SimilarNeuron(BaseModel):
    """A neuron of the same layer whose weight vector points the same way."""

    neuron: str
    view: View
    cosine: float


class Neighbours(BaseModel):
    """Where to go from a neuron."""

    previous: str | None
    next: str | None
    similar: list[SimilarNeuron]


class CounterpartNeuron(BaseModel):
    """Where the same neuron stands in the other model of a pair, and how far it moved, by view and lens."""

    model: str
    pair: str
    role: Role
    views: dict[View, dict[Lens, Counterpart]]


class NeuronAnswer(Answer, NeuronRef):
    """All that is known of a neuron."""

    views: dict[View, dict[Lens, LabelAnswer]]
    activity: dict[Site, ActivityAnswer] | None
    effect: dict[Site, dict[Direction, EffectAnswer]] | None
    neighbours: Neighbours
    counterpart: CounterpartNeuron | None


class TokensAnswer(Answer):
    """Vocabulary entries that match a text."""

    query: str
    tokens: list[VocabularyToken]
    pieces: list[VocabularyToken]
    notes: list[str]


class TokenGroup(BaseModel):
    """The neurons of one model, view and side whose label holds the token, best z first."""

    model: str
    view: View
    lens: Lens
    side: Side
    total: int
    neurons: list[SearchResult]


class TokenAnswer(Answer):
    """A token, and every neuron that names it."""

    token: VocabularyToken
    groups: list[TokenGroup]


class LayerNeuron(NeuronRef):
    """A neuron in the list of its layer."""

    view: View
    lens: Lens
    z: float
    layer_z: float | None
    margin: float
    strength: Strength | None
    top_tokens: list[ScoredToken]


class LayerAnswer(Answer):
    """The neurons of a layer, most specialised first."""

    model: str
    layer: int
    layers: int
    view: View
    lens: Lens
    total: int
    limit: int
    offset: int
    results: list[LayerNeuron]


# --- base and instruct side by side ----------------------------------------------------------------------------


class PairAnswer(Answer):
    """An answer about a pair. `note` says what has to be known of it, for example that the base is a stand-in."""

    pair: str
    base: str
    instruct: str
    note: str | None


class Agreement(BaseModel):
    """What a group of neurons kept under one view and lens; shares of one.

    `agreement` is the share with the same top token, `near_ties` the share whose top tokens changed places in a near
    tie, `mean_cosine` the mean cosine between a neuron's two weight vectors, `mean_overlap` the mean share of its top
    tokens that it has in both models.
    """

    view: View
    lens: Lens
    neurons: int
    agreement: float
    near_ties: float
    mean_cosine: float
    mean_overlap: float


class LayerAgreement(Agreement):
    """Agreement within a layer."""

    layer: int


class StrengthAgreement(Agreement):
    """Agreement among the labels whose top tokens have this strength in the base model."""

    strength: Strength


class PublishedAgreement(BaseModel):
    """A figure that others published of other models; nothing here measured it."""

    base: str
    instruct: str
    view: View
    lens: Lens
    agreement: float
    source: str


class ConceptChange(Token):
    """A token, and of how many neurons it is the top token in either model; `change` is instruct less base."""

    view: View
    lens: Lens
    base_neurons: int
    instruct_neurons: int
    change: int


class TopConcepts(BaseModel):
    """The tokens that tuning gave to the most neurons and took from the most."""

    gained: list[ConceptChange]
    lost: list[ConceptChange]


class CompareAnswer(PairAnswer):
    """How much of a model's labels tuning left as they were.

    `agreement` is the share of neurons with the same top token by view and lens, `overall` the same with all measures.
    `by_strength` is empty until strengths are measured. `paper` is the paper's figure, of other models.
    """

    top_k: int
    agreement: dict[View, dict[Lens, float]]
    overall: list[Agreement]
    by_layer: list[LayerAgreement]
    by_strength: list[StrengthAgreement]
    concepts: TopConcepts
    paper: PublishedAgreement


class Drift(BaseModel):
    """How far a neuron moved under one view and lens.

    `cosine` is between its two weight vectors, `overlap` the share of the top tokens that both have. `base_rank` is
    where the instruct model's top token stands among the base's top tokens, from 0, and `instruct_rank` the other way
    round; null: not among them. A near tie is another top token whose lead is too small to mean anything in both.
    """

    cosine: float
    same_top: bool
    near_tie: bool
    overlap: float
    base_margin: float
    instruct_margin: float
    base_rank: int | None
    instruct_rank: int | None


class RankedToken(Token):
    """A token with its place among the top tokens of each model, from 0; null: not among them."""

    base_rank: int | None
    instruct_rank: int | None


class DriftAnswer(Drift):
    """The drift of one label, with its top tokens: in both, in the instruct model alone, in the base alone."""

    shared: list[RankedToken]
    gained: list[RankedToken]
    lost: list[RankedToken]


class Sides(BaseModel):
    """The same neuron in both models."""

    base: NeuronAnswer
    instruct: NeuronAnswer


class SideBySideAnswer(PairAnswer):
    """A neuron in both models, and how far it moved, by view and lens."""

    neuron: str
    layer: int
    index: int
    views: dict[View, dict[Lens, DriftAnswer]]
    sides: Sides


class ChangedNeuron(Drift):
    """A neuron with another top token in either model, under one view and lens."""

    neuron: str
    layer: int
    index: int
    view: View
    lens: Lens
    base_tokens: list[Token]
    instruct_tokens: list[Token]


class ChangedAnswer(PairAnswer):
    """Neurons whose label moved. `notes` are sentences about what was asked."""

    notes: list[str]
    total: int
    limit: int
    offset: int
    results: list[ChangedNeuron]


class ConceptsAnswer(PairAnswer):
    """Tokens that are the top token of more neurons in one model than in the other."""

    notes: list[str]
    total: int
    limit: int
    offset: int
    results: list[ConceptChange]


# --- clamp -----------------------------------------------------------------------------------------------------

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
    """What a run comes to once it has ended."""

    watch: list[Watched]
    seed: int
    model: str
    seconds: float


class ClampResult(ClampSummary):
    """The whole of a run, as the worker gives it: it knows of no label file."""

    runs: dict[Literal["baseline", "clamped"], GeneratedText]


class ClampAnswer(Answer, ClampResult):
    """The whole of a run that was not streamed."""


class ClampStart(BaseModel):
    """First event of a stream. `prompt_tokens` are the exact ids the model read."""

    event: Literal["start"] = "start"
    run: str | None = None  # the label file's id; the app adds it, the worker leaves it out
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


class ErrorAnswer(BaseModel):
    """The one error shape, for every status."""

    ok: Literal[False] = False
    error: str
    errors: list[str]
    status: int


class ClampError(ErrorAnswer):
    """Last event of a stream that failed after it began."""

    event: Literal["error"] = "error"


ClampEvent = Annotated[ClampStart | ClampToken | ClampDone | ClampEnd | ClampError, Field(discriminator="event")]


# --- sweep -----------------------------------------------------------------------------------------------------

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
    """One model's answer to a sweep. `raw` are the values as its neuron had them."""

    model: str
    raw: list[float]
    tokens: list[SweptToken]
    seconds: float


class SweepAnswer(Answer):
    """Watched tokens over the values of one clamp, for a model or for both of its pair, the asked one first."""

    neuron: str
    site: Site
    mode: Mode
    unit: Literal["raw", "range"]
    values: list[float]
    curves: list[SweepCurve]


class TokenizeRequest(BaseModel):
    """A text or a chat, as a clamp would read it. Exactly one of `text` and `messages`."""

    model_config = ConfigDict(extra="forbid")

    model: str
    text: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=100)] | None = None

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
    """A model the worker can clamp, and what it is doing with it."""

    name: str
    state: Literal["available", "loading", "ready", "failed"]
    error: str | None = None


class WorkerStatus(BaseModel):
    """What the worker says of itself."""

    version: str
    device: str
    models: list[WorkerModel]
    running: int
    waiting: int
    capacity: int
