"""What clamping a neuron did to the token that names it, as a page says it.

Knows answers; knows nothing of HTML.
"""

from collections.abc import Iterator
from typing import NamedTuple

from app.pages.neuron_names import ORDER
from neuronym.contract import Direction, LabelEffect, Lens, NeuronAnswer, Side, Site, Token, View
from neuronym.label_tables import Outcome, outcome
from neuronym.sites import NATURAL_SITE


class Trial(NamedTuple):
    """One clamp and what became of one token; `place` counts from the token that moved furthest the same way."""

    site: Site
    direction: Direction
    value: float
    token: Token
    delta: float
    control: float
    place: str
    outcome: Outcome | None


class Tried(NamedTuple):
    """The end that names a view, clamped both ways at the view's natural site."""

    view: View
    side: Side
    token: Token
    high: Trial | None
    low: Trial | None


class Change(NamedTuple):
    """One end of one label, and its changes under each clamp, in the order of `clamps`."""

    view: View
    lens: Lens
    side: Side
    token: Token
    deltas: list[float | None]


def trial(answer: NeuronAnswer, view: View, lens: Lens, direction: Direction, vocab: int) -> Trial | None:
    """What a clamp at the view's natural site did to the first token of the end that names it; None if not measured."""
    site = NATURAL_SITE[view]
    label = answer.views.get(view, {}).get(lens)
    effect = (answer.effect or {}).get(site, {}).get(direction)
    if label is None or effect is None:
        return None
    found = next((one for one in effect.labels if (one.view, one.lens, one.side) == (view, lens, label.named_by)), None)
    if found is None:
        return None
    return Trial(
        site=site,
        direction=direction,
        value=effect.value,
        token=found.token,
        delta=found.delta,
        control=found.control,
        place=_place(found, vocab),
        outcome=outcome(found.delta, found.side, direction),
    )


def tried(answer: NeuronAnswer, lens: Lens, vocab: int) -> list[Tried]:
    """The label of each view under a lens, where its neuron was clamped at the view's natural site."""
    return list(_tried(answer, lens, vocab))


def _tried(answer: NeuronAnswer, lens: Lens, vocab: int) -> Iterator[Tried]:
    for view in ORDER:
        high, low = (trial(answer, view, lens, direction, vocab) for direction in Direction)
        either = high or low
        if either:
            yield Tried(view, answer.views[view][lens].named_by, either.token, high, low)


def clamps(answer: NeuronAnswer) -> list[tuple[Site, Direction]]:
    """The clamps that were measured."""
    return [(site, direction) for site, directions in (answer.effect or {}).items() for direction in directions]


def changes(answer: NeuronAnswer) -> list[Change]:
    """Every label of the neuron, both ends, under every clamp."""
    measured = [(answer.effect or {})[site][direction].labels for site, direction in clamps(answer)]
    deltas = [{_key(one): one.delta for one in labels} for labels in measured]
    named = {_key(one): one.token for labels in measured for one in labels}
    return [Change(*key, token, [found.get(key) for found in deltas]) for key, token in named.items()]


def _key(one: LabelEffect) -> tuple[View, Lens, Side]:
    return one.view, one.lens, one.side


def _place(effect: LabelEffect, vocab: int) -> str:
    """`rank` counts the tokens that rose more; of one that fell the place is counted from the other end."""
    return ordinal(effect.rank + 1 if effect.delta >= 0 else max(vocab - effect.rank, 1))


def ordinal(place: int) -> str:
    """A place in a row: 1st, 2nd, 3rd, 11th."""
    ending = "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place:,}{ending}"
