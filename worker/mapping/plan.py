"""The plan of a mapping run: which views of which model are mapped in which step. Knows choices; maps nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from neuronym.contract import MappingPlan, MappingStep, View
from worker.checkpoints.checkpoint import Checkpoint
from worker.mapping.recipe import MapRecipe

FIRST = View.down  # of a run that publishes early: the view whose labels hold most often, which pages show first


@dataclass(frozen=True)
class Step:
    """A model, with the recipe by which it is mapped once this step is done, and the views that the step adds."""

    name: str
    checkpoint: Checkpoint
    recipe: MapRecipe
    adds: tuple[View, ...]


def plan_steps(
    models: Sequence[tuple[str, Checkpoint]], recipe: MapRecipe, early: bool, known: Mapping[str, Collection[View]]
) -> list[Step]:
    """A step for each model, and with `early` one before them, of the first view of the first model.

    That one alone is worth a file of its own: what it takes to build one, a second time, brings the first names in a
    third of a model's time; for the other views and models people have something to read meanwhile.

    Args:
        known: the models that the library has, by name, with their views: a file with one view would take away others.
    """
    steps: list[Step] = []
    for place, (name, checkpoint) in enumerate(models):
        whole = recipe.fitted_to(checkpoint)
        others = tuple(view for view in whole.views if view is not FIRST)
        lacking = tuple(view for view in whole.views if view not in known.get(name, ()))
        if early and place == 0 and name not in known and FIRST in whole.views and others:
            steps += [
                Step(name, checkpoint, replace(whole, views=(FIRST,)), (FIRST,)),
                Step(name, checkpoint, whole, others),
            ]
        else:
            steps.append(Step(name, checkpoint, whole, lacking or whole.views))
    return steps


def describe_plan(steps: Sequence[Step], pair: str | None) -> MappingPlan:
    """The plan as programs are told it."""
    return MappingPlan(steps=[MappingStep(model=step.name, views=list(step.adds)) for step in steps], pair=pair)
