"""What a neuron is called under a view and lens: the end of its label that stands out more.

A weight vector has two ends, and the sign of a reading view says little by itself. Where the bottom tokens stand out
more than the top ones, the neuron is named *against* them. Knows labels; knows nothing of HTML.
"""

from typing import NamedTuple

from app.contract import LabelAnswer, Lens, NeuronAnswer, ScoredToken, View
from app.typography import name

ORDER = (View.gate, View.up, View.down)  # as the signal runs


class Naming(NamedTuple):
    """A name, its z, and whether it stands at the bottom of the label."""

    words: str
    z: float
    against: bool

    def __str__(self) -> str:
        return f"against {self.words}" if self.against else self.words


def naming(label: LabelAnswer, most: int = 3) -> Naming:
    """The name of one label; `most` words of it."""
    under = _bottom_z(label)
    against = abs(under) > label.z
    words = name([token.text for token in standing_out(label)], most)
    return Naming(words, under if against else label.z, against)


def standing_out(label: LabelAnswer) -> list[ScoredToken]:
    """The tokens of the end that names the neuron, strongest first."""
    return label.bottom_tokens if abs(_bottom_z(label)) > label.z else label.top_tokens


def namings(answer: NeuronAnswer, most: int = 3) -> list[tuple[View, Naming]]:
    """The name of each view in the order the signal runs, by cosine where it is mapped."""
    shown = ((view, answer.views[view]) for view in ORDER if view in answer.views)
    return [(view, naming(lenses.get(Lens.cosine) or next(iter(lenses.values())), most)) for view, lenses in shown]


def _bottom_z(label: LabelAnswer) -> float:
    if not label.bottom_tokens or label.std <= 0:
        return 0.0
    return (label.bottom_tokens[0].score - label.mean) / label.std
