"""The JSON routes under /api/v1. Each is one line: the question, asked of the label file."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.catalog import Labels
from app.contract import LayerAnswer, ModelsAnswer, NeuronAnswer, SearchAnswer, TokenAnswer, TokensAnswer
from app.queries.layers import LayerQuery, layer
from app.queries.models import models
from app.queries.neuron import neuron
from app.queries.search import SearchQuery, search
from app.queries.tokens import TokensQuery, token, tokens

router = APIRouter(prefix="/api/v1")


@router.get("/models")
def get_models(labels: Labels) -> ModelsAnswer:
    """What is mapped: models with their provenance, views, lenses and pairs."""
    return models(labels)


@router.get("/search")
def get_search(labels: Labels, query: Annotated[SearchQuery, Query()]) -> SearchAnswer:
    """Neurons whose label holds a token."""
    return search(labels, query)


@router.get("/neurons/{model}/{layer}/{index}")
def get_neuron(labels: Labels, model: str, layer: int, index: int) -> NeuronAnswer:
    """All that is known of a neuron."""
    return neuron(labels, model, layer, index)


@router.get("/layers/{model}/{number}")
def get_layer(labels: Labels, model: str, number: int, query: Annotated[LayerQuery, Query()]) -> LayerAnswer:
    """The neurons of a layer, most specialised first."""
    return layer(labels, model, number, query)


@router.get("/tokens")
def get_tokens(labels: Labels, query: Annotated[TokensQuery, Query()]) -> TokensAnswer:
    """Vocabulary entries that match a text, or the pieces it is split into."""
    return tokens(labels, query)


@router.get("/tokens/{tokenizer}/{token_id}")
def get_token(labels: Labels, tokenizer: str, token_id: int) -> TokenAnswer:
    """A token, and every neuron that names it."""
    return token(labels, tokenizer, token_id)
