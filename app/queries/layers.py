"""The neurons of one layer, most specialised first."""

from typing import Literal

from app.catalog import LabelFile
from app.contract import LayerAnswer, Lens, Strength, View
from app.queries.question import Limit, Offset, Question


class LayerQuery(Question):
    """Under which view and lens a layer is listed, and in which order."""

    view: View = View.up
    lens: Lens = Lens.cosine
    strength: Strength | None = None
    sort: Literal["z", "layer_z", "margin", "neuron"] = "z"
    limit: Limit = 50
    offset: Offset = 0


def layer(labels: LabelFile, model: str, layer: int, query: LayerQuery) -> LayerAnswer:
    """The neurons of `layer`; NotFound names the models or the range of layers."""
    raise NotImplementedError
