"""The filters of a search: which labels, in which order, how many. Knows no text and no SQL."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from app.contract import Lens, Side, Strength, View
from app.queries.question import Limit, Offset, Question

Sort = Literal["z", "trust", "score", "effect", "layer_z", "neuron"]


class Filters(Question):
    """Which labels are meant; an unset filter lets all pass."""

    model: Annotated[str | None, Field(description="Only this model.")] = None
    pair: Annotated[str | None, Field(description="Only the two models of this pair; counterparts are in it.")] = None
    view: Annotated[
        Literal["any", View.up, View.gate, View.down],
        Field(description="Which weight vector: up and gate read the residual stream, down writes to it."),
    ] = "any"
    lens: Annotated[Literal["any", Lens.logit, Lens.cosine], Field(description="How it is decoded.")] = Lens.cosine
    side: Annotated[
        Literal["any", Side.top, Side.bottom], Field(description="Among a label's highest or lowest tokens.")
    ] = Side.top
    layer_min: Annotated[int | None, Field(ge=0, le=32767, description="First layer.")] = None
    layer_max: Annotated[int | None, Field(ge=0, le=32767, description="Last layer.")] = None
    min_z: Annotated[FiniteFloat | None, Field(ge=0, description="Least |z| of the matching token.")] = None
    strength: Annotated[Strength | None, Field(description="How far the label stands above its control.")] = None
    agreement: Annotated[
        Literal["same", "changed"] | None,
        Field(
            description="Whether the counterpart in the pair (`pair`, else the model's first) has the same top token."
        ),
    ] = None
    sort: Annotated[
        Sort,
        Field(
            description="Best first; unmeasured last. `trust`: labels above noise, of these first those with the token "
            "among their first five; then strong before weak, those whose measured effect holds, and by |z|."
        ),
    ] = "z"


class Listed(Filters):
    """Filters, and which stretch of what they leave is listed. Scores are not merged across lenses or sides."""

    lens: Annotated[Lens, Field(description="How it is decoded.")] = Lens.cosine
    side: Annotated[Side, Field(description="Among a label's highest or lowest tokens.")] = Side.top
    limit: Limit = 50
    offset: Offset = 0
