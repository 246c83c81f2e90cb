"""The report on labels, as JSON. Shares are of one, changes in nats."""

from pydantic import BaseModel

from neuronym.contract import Lens, Site, Strength, View
from neuronym.sites import NATURAL_SITE

THIRDS = ("first", "middle", "last")
# Where labels are tried: each view at its own site, and `up` beyond the gate, too.
TRIED = (*((view, NATURAL_SITE[view]) for view in (View.down, View.gate, View.up)), (View.up, Site.act))


class LabelFigures(BaseModel):
    """The effect on labels of clamping their neurons towards the token that names them.

    `rises`: share whose token became likelier. `control_rises`: the same for another neuron's token under the same
    clamps. `beyond_control`: share whose token rose more than the other's. `rank`: median place among all rising
    tokens, 0 for the one that rose most.
    """

    labels: int
    rises: float
    control_rises: float
    beyond_control: float
    mean: float
    control_mean: float
    rank: float


class LabelGroup(LabelFigures):
    """Labels of one view and lens, tried at one site; None for `third`, `layer` or `strength` means all of them."""

    view: View
    lens: Lens
    site: Site
    third: str | None = None
    layer: int | None = None
    strength: Strength | None = None


class ModelReport(BaseModel):
    """All groups of one model. `first` is the view and lens whose labels hold most often."""

    model: str
    note: str | None
    layers: int
    neurons: int
    positions: int
    first: tuple[View, Lens]
    groups: list[LabelGroup]

    def group(
        self, view: View, lens: Lens, site: Site, third: str | None = None, strength: str | None = None
    ) -> LabelGroup:
        """Find the group of a view, lens and site over all layers of a third, or of the model."""
        key = (view, lens, site, third, strength)
        return next(
            group
            for group in self.groups
            if group.layer is None and (group.view, group.lens, group.site, group.third, group.strength) == key
        )

    def by_layer(self, view: View, lens: Lens, site: Site) -> list[LabelGroup]:
        """List the groups of a view, lens and site by layer."""
        by_layer = [group for group in self.groups if group.layer is not None]
        return [group for group in by_layer if (group.view, group.lens, group.site) == (view, lens, site)]


class RecipeResult(LabelFigures):
    """The result of a recipe on a sample of neurons: labels of one view, tried at one site.

    None for `third` or `strength` means all of them; strength is by a control decoded by the same recipe.
    """

    recipe: str
    view: View
    site: Site
    third: str | None
    strength: Strength | None


class TrustReport(BaseModel):
    """The whole report. `sample` is how many neurons of each layer the recipes were tried on."""

    models: list[ModelReport]
    recipes: list[RecipeResult]
    recipes_of: str
    sample: int

    def find_recipe(
        self, name: str, view: View, site: Site, third: str | None = None, strength: Strength | None = None
    ) -> RecipeResult | None:
        """Find the result of a recipe; None where there were no such labels."""
        key = (name, view, site, third, strength)
        return next(
            (
                result
                for result in self.recipes
                if (result.recipe, result.view, result.site, result.third, result.strength) == key
            ),
            None,
        )

    def recipes_for(self, view: View) -> list[RecipeResult]:
        """List the results of every recipe on all labels of a view, tried at its own site."""
        wanted = (view, NATURAL_SITE[view], None, None)
        return [
            result for result in self.recipes if (result.view, result.site, result.third, result.strength) == wanted
        ]

    def best_recipe(self, view: View) -> RecipeResult:
        """Find the recipe whose labels most often rise beyond the control, over all layers."""
        return max(self.recipes_for(view), key=lambda result: result.beyond_control)
