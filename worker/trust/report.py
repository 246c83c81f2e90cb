"""What the report on labels found, as JSON. Shares are of one, changes in nats."""

from pydantic import BaseModel

from neuronym.contract import Lens, Site, Strength, View

THIRDS = ("first", "middle", "last")


class Held(BaseModel):
    """How labels fared when their neurons were clamped towards the token that names them.

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


class Group(Held):
    """Labels of one view and lens, tried at one site; None stands for all of them."""

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
    groups: list[Group]

    def one(self, view: View, lens: Lens, site: Site, third: str | None = None, strength: str | None = None) -> Group:
        """The group of these, over all layers of a third or of the model."""
        wanted = (view, lens, site, third, strength)
        return next(
            group
            for group in self.groups
            if group.layer is None and (group.view, group.lens, group.site, group.third, group.strength) == wanted
        )

    def by_layer(self, view: View, lens: Lens, site: Site) -> list[Group]:
        """One group a layer."""
        found = [group for group in self.groups if group.layer is not None]
        return [group for group in found if (group.view, group.lens, group.site) == (view, lens, site)]


class Tried(Held):
    """A recipe on a sample of neurons: labels of one view, tried at the view's natural site."""

    recipe: str
    view: View
    third: str | None


class TrustReport(BaseModel):
    """The whole report. `sample` is how many neurons of each layer the recipes were tried on."""

    models: list[ModelReport]
    recipes: list[Tried]
    recipes_of: str
    sample: int

    def recipe(self, name: str, view: View) -> Tried:
        """A recipe over all layers."""
        return next(one for one in self.recipes if (one.recipe, one.view, one.third) == (name, view, None))

    def best_recipe(self, view: View) -> Tried:
        """The one whose labels most often rise beyond the control, over all layers."""
        tried = [one for one in self.recipes if one.view is view and one.third is None]
        return max(tried, key=lambda one: one.beyond_control)
