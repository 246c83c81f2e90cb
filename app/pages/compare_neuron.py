"""A neuron's label in two models, rank by rank: which tokens stayed, moved, were gained or lost.

Knows answers; knows nothing of HTML.

"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Literal, NamedTuple

from app.pages.neuron_names import VIEW_ORDER, Naming, naming
from neuronym.contract import DriftAnswer, LabelAnswer, Lens, ScoredToken, SideBySideAnswer, View

TokenState = Literal["kept", "moved", "gained", "lost"]


class Cell(NamedTuple):
    """A token of one model's label; `other` is its rank in the other model's label, from 0, None if it is not there."""

    token: ScoredToken
    state: TokenState
    other: int | None


class RankPair(NamedTuple):
    """The tokens at one rank of both labels; None where a label is shorter."""

    rank: int
    base: Cell | None
    instruct: Cell | None


class Card(NamedTuple):
    """The labels of one view under one lens in both models."""

    view: View
    drift: DriftAnswer
    base: LabelAnswer
    instruct: LabelAnswer
    base_name: Naming
    instruct_name: Naming
    places: list[RankPair]

    @property
    def renamed(self) -> bool:
        """Whether the two names differ in their first word, or in the end of the label they come from."""
        return str(naming(self.base, 1)) != str(naming(self.instruct, 1))


def cards(answer: SideBySideAnswer, lens: Lens) -> list[Card]:
    """The cards of a lens, its views in the order gate, up, down."""
    return list(_cards(answer, lens))


def _cards(answer: SideBySideAnswer, lens: Lens) -> Iterator[Card]:
    for view in VIEW_ORDER:
        drift = answer.views.get(view, {}).get(lens)
        if drift:
            base, instruct = (side.views[view][lens] for side in (answer.sides.base, answer.sides.instruct))
            names = naming(base, 2), naming(instruct, 2)
            yield Card(view, drift, base, instruct, *names, _places(drift, base, instruct))


def _places(drift: DriftAnswer, base: LabelAnswer, instruct: LabelAnswer) -> list[RankPair]:
    ranks = {token.token_id: (token.base_rank, token.instruct_rank) for token in drift.shared}
    before = [
        _cell(token, rank, ranks.get(token.token_id, (None, None))[1], "lost")
        for rank, token in enumerate(base.top_tokens)
    ]
    after = [
        _cell(token, rank, ranks.get(token.token_id, (None, None))[0], "gained")
        for rank, token in enumerate(instruct.top_tokens)
    ]
    return [RankPair(rank, *cells) for rank, cells in enumerate(zip_longest(before, after))]


def _cell(token: ScoredToken, rank: int, other: int | None, alone: Literal["gained", "lost"]) -> Cell:
    if other is None:
        return Cell(token, alone, None)
    return Cell(token, "kept" if other == rank else "moved", other)
