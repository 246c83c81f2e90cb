"""How well each recipe names the token that a clamp moves: the same neurons and clamps under every recipe.

Knows recipes and the measurement of effects; knows nothing of where ranges and models come from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuronym.contract import Direction, Side, Site, Strength, View
from neuronym.label_tables import NAMED_BY, code
from worker.lens.exact import Head
from worker.measuring.effect import Effects, Ranges
from worker.measuring.summary import list_elements, trial_figures
from worker.trust.recipes import RECIPES, HeadRecipe, LensRecipe, prepare_rows, read_labels
from worker.trust.report import THIRDS, TRIED, RecipeResult


@dataclass(frozen=True)
class _TriedLayer:
    """The effects of a layer's sampled neurons on each of their labels, and which labels are strong."""

    layer: int
    effects: pa.Table
    strong: Tensor  # (labels, sample)


class RecipeTrial:
    """Tries every recipe on the same neurons under the same clamps.

    Args:
        heads: the rows of `token_ids`, prepared by the recipe of each head.
    """

    def __init__(
        self, effects: Effects, heads: Mapping[HeadRecipe, Head], token_ids: Tensor, views: list[View]
    ) -> None:
        self._effects, self._heads, self._token_ids = effects, heads, token_ids
        self._cases = [(recipe, view) for recipe in RECIPES for view in recipe.views(views)]
        self._tried: list[_TriedLayer] = []

    @torch.inference_mode()
    def measure_layer(
        self, layer: int, rows: Mapping[View, Tensor], input_gain: Tensor, ranges: Ranges, sample: Tensor
    ) -> None:
        """Measure the sampled neurons of a layer.

        Args:
            rows: all rows of the layer by view, `(neurons, width)` each.
            input_gain: of the norm through which `up` and `gate` read, `(width,)`.
            sample: the indices of the neurons to measure.
        """
        read = [
            read_labels(
                prepare_rows(rows[view], input_gain, recipe),
                self._heads[recipe.head],
                sample,
                seed=layer * len(View) + code(view),  # that of the mapped labels
            )
            for recipe, view in self._cases
        ]
        tokens = self._token_ids[torch.cat([labels.tokens for labels in read])]  # (labels, sample)
        neurons = len(next(iter(rows.values())))
        labels = tokens.repeat(1, -(-neurons // len(sample)))[:, :neurons]  # controls come from the sample too
        labels[:, sample] = tokens
        effects = self._effects.measure_layer(layer, ranges, labels, only=sample)
        self._tried.append(_TriedLayer(layer, effects, torch.cat([labels.strong for labels in read])))

    def results(self, layers: int) -> list[RecipeResult]:
        """Summarise each recipe, view and site, over all layers and over the last third; all labels, and strong ones.

        There is no result where there are no labels.
        """
        last = [tried for tried in self._tried if tried.layer * len(THIRDS) // layers == len(THIRDS) - 1]
        return [
            result
            for third, tried in ((None, self._tried), (THIRDS[-1], last))
            for view, site in TRIED
            for place, (recipe, of) in enumerate(self._cases)
            if of is view
            for result in _recipe_results(tried, place, recipe, view, site, third)
        ]


def _recipe_results(
    tried: list[_TriedLayer], place: int, recipe: LensRecipe, view: View, site: Site, third: str | None
) -> Iterator[RecipeResult]:
    """Summarise both ends of a recipe's labels, each end clamped in the direction that should raise its token."""
    ends = [
        _EndTrials.of(layer, site, direction, place * len(Side) + code(NAMED_BY[direction]))
        for layer in tried
        for direction in Direction
    ]
    if not ends:
        return
    deltas, controls, ranks, strong = (
        np.concatenate([getattr(end, name) for end in ends]) for name in _EndTrials.__dataclass_fields__
    )
    for strength, chosen in ((None, np.full(len(strong), True)), (Strength.strong, strong)):
        if chosen.any():
            yield RecipeResult(
                recipe=recipe.name,
                view=view,
                site=site,
                third=third,
                strength=strength,
                labels=int(chosen.sum()),
                rank=float(torch.from_numpy(ranks[chosen]).median()),
                **trial_figures(deltas[chosen], controls[chosen]),
            )


@dataclass(frozen=True)
class _EndTrials:
    """The trials of one end of the labels of a layer's sample, `(sample,)` each."""

    deltas: NDArray[np.float64]
    controls: NDArray[np.float64]
    ranks: NDArray[np.float64]
    strong: NDArray[np.bool_]

    @classmethod
    def of(cls, tried: _TriedLayer, site: Site, direction: Direction, place: int) -> "_EndTrials":
        rows = tried.effects
        at_site = rows["site"].to_numpy() == code(site)
        matches = pa.array(at_site & (rows["direction"].to_numpy() == code(direction)))
        deltas, controls, ranks = (
            list_elements(rows[name].filter(matches), place) for name in ("deltas", "controls", "ranks")
        )
        return cls(deltas, controls, ranks, tried.strong[place].numpy())
