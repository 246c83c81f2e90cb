"""The filters of a search: which labels, in which order, how many. Knows no text and no SQL."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from app.contract import Lens, Side, Strength, View
from app.queries.question import Limit, Offset, Question


class Filters(Question):
    """Which labels are meant; an unset filter lets all pass."""

    model: str | None = None
    pair: str | None = None
    view: Literal["any", View.up, View.gate, View.down] = "any"
    lens: Lens = Lens.cosine
    side: Side = Side.top
    layer_min: Annotated[int, Field(ge=0, le=32767)] | None = None
    layer_max: Annotated[int, Field(ge=0, le=32767)] | None = None
    min_z: Annotated[FiniteFloat, Field(ge=0, description="Least |z| of the matching token.")] | None = None
    strength: Strength | None = None
    agreement: Annotated[
        Literal["same", "changed"] | None,
        Field(
            description="Whether the counterpart in the pair (`pair`, else the model's first) has the same top token."
        ),
    ] = None
    sort: Literal["z", "score", "effect", "layer_z", "neuron"] = "z"
    limit: Limit = 50
    offset: Offset = 0
