"""Search results, neurons, tokens and layers."""

from pydantic import BaseModel

from neuronym.contract.answers import Answer, ScoredToken, Token, VocabularyToken
from neuronym.contract.words import Direction, Lens, Role, Side, Site, Strength, View


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
    """One (model, neuron, view, lens): `token` is its best match, `matches` the others.

    `strength` is of the end that was searched, `effect` the change of its first token, whichever matched, with the
    neuron clamped high. `bottom_tokens` is null where the top was searched.
    """

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
    bottom_tokens: list[Token] | None
    effect: float | None
    counterpart: Counterpart | None


class SearchAnswer(Answer):
    """Neurons whose label holds the requested tokens. `notes` are sentences about the request."""

    query: dict[str, str | int | float | None]
    tokens: list[VocabularyToken]
    pieces: list[VocabularyToken]
    neurons: list[NeuronRef]
    notes: list[str]
    total: int
    limit: int
    offset: int
    results: list[SearchResult]


class LabelEnd(BaseModel):
    """One end of a label: how far its first token stands from the mean of the vocabulary, and how strong that is."""

    z: float
    strength: Strength | None


class LabelAnswer(BaseModel):
    """A neuron's label under one view and lens. `probability` is the top token's softmax share (logit lens).

    `z` is the top token's. `named_by` is the end that stands further out, `strength` that end's, `false_share` the
    share of the strong labels of this layer, view and lens that chance alone would be expected to give.
    """

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
    named_by: Side
    ends: dict[Side, LabelEnd]
    false_share: float | None
    logsumexp: float | None
    probability: float | None


class ActivityAnswer(BaseModel):
    """The values of a neuron at a site on text: `q` are its values at the quantiles `p`."""

    p: list[float]
    q: list[float]
    fires: float | None
    contexts: list[str]


class LabelEffect(BaseModel):
    """What a clamp did to the first token at one end of one label; `rank` counts the tokens that rose more."""

    view: View
    lens: Lens
    side: Side
    token: Token
    delta: float
    control: float
    rank: int


class EffectAnswer(BaseModel):
    """What clamping did: changes of log-probability in nats, averaged over prompts.

    `labels` are both ends of every label the model has. `token` is the label token of the view the site belongs to,
    `delta` its change, `control` the change of a mismatched neuron's label token, `rank` the token's place among all
    changes, `kl` the whole prediction's change.
    """

    value: float
    token: Token
    delta: float
    control: float
    rank: int
    kl: float
    moved: Token
    moved_delta: float
    labels: list[LabelEffect]


class SimilarNeuron(BaseModel):
    """A neuron of the same layer whose weight vector points the same way."""

    neuron: str
    view: View
    cosine: float


class Neighbours(BaseModel):
    """The neighbours of a neuron: before and after it in its layer, and those most similar."""

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
    """A neuron in the list of its layer.

    `z`, `layer_z` and `margin` are of its top token. `named_by` is the end of the label that stands further out and
    `named_z` its z; `strength` is of that end, `effect` the change of its first token with the neuron clamped high.
    """

    view: View
    lens: Lens
    z: float
    layer_z: float | None
    margin: float
    strength: Strength | None
    named_by: Side
    named_z: float
    effect: float | None
    top_tokens: list[ScoredToken]
    bottom_tokens: list[ScoredToken]


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
