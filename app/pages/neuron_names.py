"""A neuron's name under a view and lens: the end of its label that stands further out.

A weight vector has two ends, and the sign of a reading view says little by itself. Where the bottom tokens stand out
more than the top ones, the neuron is named *against* them. Knows labels; knows nothing of HTML.
"""

from typing import NamedTuple

from app.html.text import name
from neuronym.contract import FirstShown, LabelAnswer, Lens, ModelSummary, NeuronAnswer, ScoredToken, Side, View

VIEW_ORDER = (View.gate, View.up, View.down)  # in the order of the computation
LENSES = (Lens.cosine, Lens.logit)  # in the order they are shown


class Naming(NamedTuple):
    """A name, its z, and whether it names the bottom end of the label (`against`)."""

    words: str
    z: float
    against: bool

    def __str__(self) -> str:
        return f"against {self.words}" if self.against else self.words


def naming(label: LabelAnswer, most: int = 3) -> Naming:
    """The name of one label, of at most `most` words."""
    words = name([token.text for token in naming_tokens(label)], most)
    return Naming(words, label.ends[label.named_by].z, label.named_by is Side.bottom)


def naming_tokens(label: LabelAnswer) -> list[ScoredToken]:
    """The tokens of the end that names the neuron, strongest first."""
    return label.bottom_tokens if label.named_by is Side.bottom else label.top_tokens


def namings(answer: NeuronAnswer, most: int = 3, first: FirstShown | None = None) -> list[tuple[View, Naming]]:
    """The name of each view under the lens that is shown first.

    Views come in the order gate, up, down; the view of `first`, whose labels hold most often, comes before the others.
    """
    order = [first.view, *(view for view in VIEW_ORDER if view is not first.view)] if first else VIEW_ORDER
    shown = [(view, answer.views[view]) for view in order if view in answer.views]
    return [(view, naming(_first_label(lenses, first), most)) for view, lenses in shown]


def lens_order(first: FirstShown | None) -> tuple[Lens, ...]:
    """The lenses in the order they are shown: the one whose labels hold most often, then the others."""
    return (first.lens, *(lens for lens in LENSES if lens is not first.lens)) if first else LENSES


def layer_link_parameters(first: FirstShown | None, model: ModelSummary) -> dict[str, str]:
    """Query parameters of links to a layer: the view and lens whose labels hold most often, trusted first.

    Where it is not known which labels hold most often, a view and lens that the model has.
    """
    default = {"view": View.up, "lens": Lens.cosine}  # of `LayerQuery`; an address leaves defaults out
    if first:
        view, lens = first.view, first.lens
    else:
        view = View.up if View.up in model.views else model.views[0]
        lens = Lens.cosine if Lens.cosine in model.lenses else model.lenses[0]
    parameters = {"view": view, "lens": lens}
    asked = {name: value.value for name, value in parameters.items() if value is not default[name]}
    return asked | {"sort": "trust"} if first else asked


def _first_label(lenses: dict[Lens, LabelAnswer], first: FirstShown | None) -> LabelAnswer:
    """The label under the first lens that has one."""
    return next(lenses[lens] for lens in lens_order(first) if lens in lenses)
