"""The measured effects of clamping a neuron on the tokens that name it.

Knows answers; knows nothing of HTML.

"""

from collections.abc import Iterator
from typing import NamedTuple

from app.html.text import ordinal
from app.pages.neuron_names import VIEW_ORDER
from neuronym.contract import Direction, LabelEffect, Lens, NeuronAnswer, Side, Site, Token, View
from neuronym.label_tables import Outcome, outcome
from neuronym.sites import NATURAL_SITE


class MeasuredClamp(NamedTuple):
    """One clamp and its effect on one token.

    `place` counts from the token that moved furthest in the same direction.
    """

    site: Site
    direction: Direction
    value: float
    token: Token
    delta: float
    control: float
    place: str
    outcome: Outcome | None


class ClampedEnd(NamedTuple):
    """The end of a label that names a view, and the effects of clamping high and low at the view's natural site."""

    view: View
    side: Side
    token: Token
    high: MeasuredClamp | None
    low: MeasuredClamp | None


class EndChanges(NamedTuple):
    """One end of one label, and the change of its token under each clamp in the order of `clamps`."""

    view: View
    lens: Lens
    side: Side
    token: Token
    deltas: list[float | None]  # None where a clamp was not measured at this end


def measured_clamp(
    answer: NeuronAnswer, view: View, lens: Lens, direction: Direction, vocab: int
) -> MeasuredClamp | None:
    """The effect of a clamp at the view's natural site on the token that names the label; None if not measured."""
    site = NATURAL_SITE[view]
    label = answer.views.get(view, {}).get(lens)
    effect = (answer.effect or {}).get(site, {}).get(direction)
    if label is None or effect is None:
        return None
    key = view, lens, label.named_by
    token_effect = next((of_end for of_end in effect.labels if _key(of_end) == key), None)
    if token_effect is None:
        return None
    return MeasuredClamp(
        site=site,
        direction=direction,
        value=effect.value,
        token=token_effect.token,
        delta=token_effect.delta,
        control=token_effect.control,
        place=_place_text(token_effect, vocab),
        outcome=outcome(token_effect.delta, token_effect.side, direction),
    )


def clamped_ends(answer: NeuronAnswer, lens: Lens, vocab: int) -> list[ClampedEnd]:
    """The naming ends of all views under a lens whose neuron was clamped at the view's natural site."""
    return list(_clamped_ends(answer, lens, vocab))


def _clamped_ends(answer: NeuronAnswer, lens: Lens, vocab: int) -> Iterator[ClampedEnd]:
    for view in VIEW_ORDER:
        high, low = (measured_clamp(answer, view, lens, direction, vocab) for direction in Direction)
        measured = high or low
        if measured:
            yield ClampedEnd(view, answer.views[view][lens].named_by, measured.token, high, low)


def clamps(answer: NeuronAnswer) -> list[tuple[Site, Direction]]:
    """The sites and directions that were measured."""
    return [(site, direction) for site, directions in (answer.effect or {}).items() for direction in directions]


def changes(answer: NeuronAnswer) -> list[EndChanges]:
    """The changes of both ends of every label of the neuron under every clamp."""
    effects_by_clamp = [(answer.effect or {})[site][direction].labels for site, direction in clamps(answer)]
    deltas = [{_key(effect): effect.delta for effect in effects} for effects in effects_by_clamp]
    tokens = {_key(effect): effect.token for effects in effects_by_clamp for effect in effects}
    return [
        EndChanges(*key, token, [deltas_of_clamp.get(key) for deltas_of_clamp in deltas])
        for key, token in tokens.items()
    ]


def _key(effect: LabelEffect) -> tuple[View, Lens, Side]:
    return effect.view, effect.lens, effect.side


def _place_text(effect: LabelEffect, vocab: int) -> str:
    """The place of a token among those that moved the same way, the furthest first.

    `rank` counts the tokens that rose more, so for a token that fell it is counted from the last of the vocabulary.
    """
    return ordinal(effect.rank + 1 if effect.delta >= 0 else max(vocab - effect.rank, 1))
