"""Other recipes to read labels from the same weights, and how well each names the token that a clamp moves.

A recipe folds the gain of the last norm into the head or not, takes the mean row off the head or not, and brings its
rows to unit length or not. Knows tensors and recipes; knows nothing of where ranges and models come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuronym.contract import Direction, Side, Site, View
from neuronym.label_tables import NAMED_BY, code
from neuronym.sites import NATURAL_SITE
from worker.measuring.effect import Effects, Ranges
from worker.measuring.summary import list_elements, trial_figures
from worker.trust.report import THIRDS, RecipeResult


@dataclass(frozen=True)
class LensRecipe:
    """How the head is prepared before it is multiplied with a weight vector."""

    name: str
    gain: bool = False
    centred: bool = False
    unit: bool = False


RECIPES = (
    LensRecipe("logit"),
    LensRecipe("logit, gain folded in", gain=True),
    LensRecipe("logit, head centred", centred=True),
    LensRecipe("cosine", unit=True),
    LensRecipe("cosine, gain folded in", gain=True, unit=True),
    LensRecipe("cosine, head centred", centred=True, unit=True),
    LensRecipe("cosine, both", gain=True, centred=True, unit=True),
)


@torch.inference_mode()
def norm_gain(norm: nn.Module, width: int) -> Tensor:
    """Measure the gain of a norm of any kind, `(width,)`, on vectors along each axis.

    Their root mean square is 1. A bias is the same for a vector and its opposite, so their difference is free of it.
    """
    weight = next(norm.parameters())
    along = torch.eye(width, dtype=weight.dtype, device=weight.device) * width**0.5
    gain: Tensor = (norm(along) - norm(-along)).diagonal() / (2 * width**0.5)
    return gain.float().cpu()


def prepare_head(head: Tensor, gain: Tensor, recipe: LensRecipe) -> Tensor:
    """Prepare the head `(vocab, width)` by a recipe."""
    ready = head * gain if recipe.gain else head
    if recipe.centred:
        ready = ready - ready.mean(0)
    return nn.functional.normalize(ready, dim=1) if recipe.unit else ready


def find_extreme_tokens(rows: Tensor, head: Tensor, token_ids: Tensor) -> Tensor:
    """Find the tokens with the highest and the lowest score of each row, `(sides, rows)`."""
    scores = rows @ head.T  # (rows, vocab)
    return token_ids[torch.stack([scores.argmax(1), scores.argmin(1)])]


class RecipeTrial:
    """Tries every recipe on the same neurons under the same clamps.

    Args:
        heads: the prepared head of each recipe, `(vocab, width)`, with the rows of `token_ids`.
    """

    def __init__(self, effects: Effects, heads: Sequence[Tensor], token_ids: Tensor, views: Sequence[View]) -> None:
        self._effects, self._heads, self._token_ids, self._views = effects, heads, token_ids, views
        self._measured: list[tuple[int, pa.Table]] = []

    @torch.inference_mode()
    def measure_layer(self, layer: int, rows: dict[View, Tensor], ranges: Ranges, sample: Tensor) -> None:
        """Measure the sampled neurons of a layer; `rows` by view are of the sample only."""
        neurons = len(next(iter(ranges[Site.act].values())))
        tokens = torch.cat(
            [find_extreme_tokens(rows[view], head, self._token_ids) for head in self._heads for view in self._views]
        )  # (labels, sample)
        labels = tokens.repeat(1, -(-neurons // len(sample)))[:, :neurons]  # controls come from the sample too
        labels[:, sample] = tokens
        self._measured.append((layer, self._effects.measure_layer(layer, ranges, labels, only=sample)))

    def results(self, layers: int) -> list[RecipeResult]:
        """Summarise each recipe and view, over all layers and over the last third."""
        last = [table for layer, table in self._measured if layer * len(THIRDS) // layers == len(THIRDS) - 1]
        every = [table for _, table in self._measured]
        return [
            self._recipe_result(pa.concat_tables(tables), recipe, view, third)
            for third, tables in ((None, every), (THIRDS[-1], last))
            if tables
            for view in self._views
            for recipe in RECIPES
        ]

    def _recipe_result(self, rows: pa.Table, recipe: LensRecipe, view: View, third: str | None) -> RecipeResult:
        """Summarise both ends of a recipe's labels, each end clamped in the direction that should raise its token."""
        columns: dict[str, list[NDArray[np.float64]]] = {"deltas": [], "controls": [], "ranks": []}
        for direction in Direction:
            at_site = rows["site"].to_numpy() == code(NATURAL_SITE[view])
            matches = pa.array(at_site & (rows["direction"].to_numpy() == code(direction)))
            place = self._place(recipe, view, NAMED_BY[direction])
            for name, parts in columns.items():
                parts.append(list_elements(rows[name].filter(matches), place))
        deltas, controls, ranks = (np.concatenate(parts) for parts in columns.values())
        return RecipeResult(
            recipe=recipe.name,
            view=view,
            third=third,
            labels=len(deltas),
            rank=float(torch.from_numpy(ranks).median()),
            **trial_figures(deltas, controls),
        )

    def _place(self, recipe: LensRecipe, view: View, side: Side) -> int:
        return (RECIPES.index(recipe) * len(self._views) + self._views.index(view)) * len(Side) + code(side)
