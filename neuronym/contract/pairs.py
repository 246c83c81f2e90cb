"""Base and instruct side by side."""

from pydantic import BaseModel

from neuronym.contract.answers import Answer, Token
from neuronym.contract.labels import NeuronAnswer
from neuronym.contract.words import Lens, Strength, View


class PairAnswer(Answer):
    """An answer about a pair. `note` is a caution about the pair, for example that the base is a stand-in."""

    pair: str
    base: str
    instruct: str
    note: str | None


class Agreement(BaseModel):
    """How far a group of neurons agrees in both models under one view and lens; shares of one.

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
    """An agreement that others published of other models; Neuronym did not measure it."""

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
    """The share of labels that tuning left as they were.

    `agreement` is the share of neurons with the same top token by view and lens; `overall` adds the other measures.
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
    """Neurons whose top token differs between the models. `notes` are sentences about the request."""

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
