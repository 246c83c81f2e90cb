"""Which neurons are named after a token: the search."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from app.catalog import LabelFile
from app.contract import Lens, SearchAnswer, Side, Strength, View
from app.queries.question import Limit, Offset, Question

MAX_QUERY = 10_000


class SearchQuery(Question):
    """What is searched, where, and in which order."""

    q: Annotated[str, Field(max_length=MAX_QUERY, description='A word, `"exact"`, `pre*`, `a, b`, or `L22N57`.')] = ""
    model: str | None = None
    pair: str | None = None
    view: View | Literal["any"] = "any"
    lens: Lens = Lens.cosine
    side: Side = Side.top
    layer_min: Annotated[int, Field(ge=0)] | None = None
    layer_max: Annotated[int, Field(ge=0)] | None = None
    min_z: Annotated[FiniteFloat, Field(ge=0, description="Least |z| of the matching token.")] | None = None
    strength: Strength | None = None
    agreement: Literal["same", "changed"] | None = None
    sort: Literal["z", "score", "effect", "layer_z", "neuron"] = "z"
    limit: Limit = 50
    offset: Offset = 0


def search(labels: LabelFile, query: SearchQuery) -> SearchAnswer:
    """Neurons whose label holds the asked tokens; unknown model or pair: NotFound, bad range: Unprocessable."""
    raise NotImplementedError
