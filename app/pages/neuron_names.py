"""What a neuron is called under a view and lens: the end of its label that stands further out.

A weight vector has two ends, and the sign of a reading view says little by itself. Where the bottom tokens stand out
more than the top ones, the neuron is named *against* them. Knows labels; knows nothing of HTML.
"""

from typing import NamedTuple

from app.html.text import name
from neuronym.contract import FirstShown, LabelAnswer, Lens, NeuronAnswer, ScoredToken, Side, View

ORDER = (View.gate, View.up, View.down)  # as the signal runs
LENSES = (Lens.cosine, Lens.logit)  # in the order they are shown


class Naming(NamedTuple):
    """A name, its z, and whether it stands at the bottom of the label."""

    words: str
    z: float
    against: bool

    def __str__(self) -> str:
        return f"against {self.words}" if self.against else self.words


def naming(label: LabelAnswer, most: int = 3) -> Naming:
    """The name of one label; `most` words of it."""
    words = name([token.text for token in standing_out(label)], most)
    return Naming(words, label.ends[label.named_by].z, label.named_by is Side.bottom)


def standing_out(label: LabelAnswer) -> list[ScoredToken]:
    """The tokens of the end that names the neuron, strongest first."""
    return label.bottom_tokens if label.named_by is Side.bottom else label.top_tokens


def namings(answer: NeuronAnswer, most: int = 3, first: FirstShown | None = None) -> list[tuple[View, Naming]]:
    """The name of each view under the lens that is shown first.

    In the order the signal runs, but for the view whose labels hold most often: where it is known it comes `first`.
    """
    order = [first.view, *(view for view in ORDER if view is not first.view)] if first else ORDER
    shown = [(view, answer.views[view]) for view in order if view in answer.views]
    return [(view, naming(_shown(lenses, first), most)) for view, lenses in shown]


def lenses_shown(first: FirstShown | None) -> tuple[Lens, ...]:
    """The lenses in the order they are shown: the one whose labels hold most often, then the others."""
    return (first.lens, *(lens for lens in LENSES if lens is not first.lens)) if first else LENSES


def layer_asked(first: FirstShown | None) -> dict[str, str]:
    """What a link to a layer asks for, where it is known which labels hold most often: those, trusted first."""
    if first is None:
        return {}
    default = {"view": View.up, "lens": Lens.cosine}  # of the question about a layer; an address leaves them out
    asked = {"view": first.view, "lens": first.lens}
    return {name: value.value for name, value in asked.items() if value is not default[name]} | {"sort": "trust"}


def _shown(lenses: dict[Lens, LabelAnswer], first: FirstShown | None) -> LabelAnswer:
    return next(lenses[lens] for lens in lenses_shown(first) if lens in lenses)
