"""The JSON routes under /api/v1: each passes its parameters to one query of the library or call of the worker.

The answers under `questions` depend only on their address and the state of the library, whose id is their ETag.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.sse import format_sse_event

from app.export.download import Download
from app.export.formats import MEDIA_TYPES, Format
from app.html import urls
from app.labelfile.catalog import Labels
from app.queries.layers import LayerQuery, layer
from app.queries.models import model, models
from app.queries.neuron import neuron
from app.queries.pairs.changed import ChangedQuery, changed_neurons
from app.queries.pairs.compare import compare
from app.queries.pairs.concepts import ConceptsQuery, concepts
from app.queries.pairs.side_by_side import side_by_side
from app.queries.search.export import ExportQuery
from app.queries.search.search import SearchQuery, search
from app.queries.tokens import TokensQuery, token, tokens
from app.steering.clamp import EventStream, Worker, clamp, clamp_events
from app.steering.sweep import sweep
from app.web.etag import set_etag
from neuronym.contract import (
    ChangedAnswer,
    ClampAnswer,
    ClampEvent,
    ClampRequest,
    CompareAnswer,
    ConceptsAnswer,
    ErrorAnswer,
    LayerAnswer,
    ModelAnswer,
    ModelsAnswer,
    NeuronAnswer,
    SearchAnswer,
    SideBySideAnswer,
    SweepAnswer,
    SweepRequest,
    TokenAnswer,
    TokensAnswer,
)

LayerNumber = Annotated[int, Path(alias="layer")]  # `layer` is the function that answers
ModelName = Annotated[str, Path(alias="model")]  # and so is `model`

_REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorAnswer, "description": "Not there; the sentence names what is."},
    422: {"model": ErrorAnswer, "description": "Bad input; the sentence names the field and its range."},
    503: {"model": ErrorAnswer, "description": "Nothing mapped, no worker, or too busy; see Retry-After."},
}
router = APIRouter(prefix="/api/v1", responses=_REFUSALS)
questions = APIRouter(dependencies=[Depends(set_etag)], tags=["questions"])


@questions.get("/models")
def get_models(labels: Labels) -> ModelsAnswer:
    """The mapped models with their provenance, views, lenses, pairs and the summaries of their measurements."""
    return models(labels)


@questions.get("/models/{model}")
def get_model(labels: Labels, name: ModelName) -> ModelAnswer:
    """One model, with the thresholds and counts of every layer."""
    return model(labels, name)


@questions.get("/search")
def get_search(labels: Labels, query: Annotated[SearchQuery, Query()]) -> SearchAnswer:
    """Neurons whose label holds a token."""
    return search(labels, query)


ExportFormat = Annotated[Format, Path(alias="format")]
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}, "description": "The file, sent as it is read."}
}


@questions.get(urls.EXPORT, response_class=Response, responses=_FILES)
def get_export(labels: Labels, form: ExportFormat, query: Annotated[ExportQuery, Query()]) -> Response:
    """Every row that passes the filters of a search, as CSV, JSON lines or Parquet; without `q`, rows of all tokens."""
    return Download(labels, query, form)


@questions.get("/neurons/{model}/{layer}/{index}")
def get_neuron(labels: Labels, model: str, number: LayerNumber, index: int) -> NeuronAnswer:
    """All that is known of a neuron."""
    return neuron(labels, model, number, index)


@questions.get("/layers/{model}/{layer}")
def get_layer(labels: Labels, model: str, number: LayerNumber, query: Annotated[LayerQuery, Query()]) -> LayerAnswer:
    """The neurons of a layer, most specialised first."""
    return layer(labels, model, number, query)


@questions.get("/tokens")
def get_tokens(labels: Labels, query: Annotated[TokensQuery, Query()]) -> TokensAnswer:
    """Vocabulary entries that match a text, or the pieces it is split into."""
    return tokens(labels, query)


@questions.get("/tokens/{tokenizer}/{token_id}")
def get_token(labels: Labels, tokenizer: str, token_id: int) -> TokenAnswer:
    """A token, and every neuron that names it."""
    return token(labels, tokenizer, token_id)


_NO_PAIR: dict[int | str, dict[str, Any]] = {
    409: {"model": ErrorAnswer, "description": "Both are mapped, but not as a pair; the sentence says why or how to."}
}


@questions.get("/compare/{base}/{instruct}", responses=_NO_PAIR)
def get_compare(labels: Labels, base: str, instruct: str) -> CompareAnswer:
    """The share of labels that tuning left as they were: overall, by layer and by strength."""
    return compare(labels, base, instruct)


@questions.get("/compare/{base}/{instruct}/changed", responses=_NO_PAIR)
def get_changed(labels: Labels, base: str, instruct: str, query: Annotated[ChangedQuery, Query()]) -> ChangedAnswer:
    """Neurons whose top token differs between the two models, under one view and lens."""
    return changed_neurons(labels, base, instruct, query)


@questions.get("/compare/{base}/{instruct}/concepts", responses=_NO_PAIR)
def get_concepts(labels: Labels, base: str, instruct: str, query: Annotated[ConceptsQuery, Query()]) -> ConceptsAnswer:
    """Tokens that are the top token of more neurons in one model than in the other: gained and lost by tuning."""
    return concepts(labels, base, instruct, query)


@questions.get("/compare/{base}/{instruct}/{layer}/{index}", responses=_NO_PAIR)
def get_side_by_side(labels: Labels, base: str, instruct: str, number: LayerNumber, index: int) -> SideBySideAnswer:
    """A neuron in both models, with the tokens it shares, gained and lost."""
    return side_by_side(labels, base, instruct, number, index)


router.include_router(questions)


@router.post(
    "/clamp",
    response_model=ClampAnswer,
    tags=["clamp"],
    responses={200: {"content": {"text/event-stream": {}}, "description": "With `stream`: one event a token."}},
)
async def post_clamp(labels: Labels, worker: Worker, request: ClampRequest) -> ClampAnswer | EventStream[ClampEvent]:
    """Generate with and without clamps, side by side; `stream` sends the tokens as they come."""
    if request.stream:
        return EventStream(await clamp_events(labels, worker, request), as_json_event)
    return await clamp(labels, worker, request)


@router.post("/sweep", tags=["clamp"])
async def post_sweep(labels: Labels, worker: Worker, request: SweepRequest) -> SweepAnswer:
    """Probabilities of watched tokens at the first generated position over a range of values of one clamp.

    In one model, or with `pair` in both models of its pair.
    """
    return await sweep(labels, worker, request)


def as_json_event(event: ClampEvent) -> bytes:
    """Write an event of a clamp as a Server-Sent Event with JSON data."""
    return format_sse_event(event=event.event, data_str=event.model_dump_json())
