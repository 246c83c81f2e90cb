"""What a label file would refuse to take in, asked before hours of mapping: names that are taken, layers to be lost.

Knows the current label file; builds nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from neuronym.contract import name_layers
from worker.checkpoints.checkpoint import Checkpoint
from worker.errors import CheckpointError
from worker.labelfile.contents import name_taken, pair_name_taken
from worker.labelfile.read import published_layers, published_models, published_pairs
from worker.mapping.recipe import MapRecipe


def check_models(data: Path, models: Sequence[tuple[str, Checkpoint]], recipe: MapRecipe) -> None:
    """Check that the current label file has no other model of these names, and would lose no layers of them.

    Raises:
        CheckpointError: a model does not fit the recipe, or would lose layers.
        LabelFileError: a name is taken.
    """
    published = {model.name: model for model in published_models(data)}
    layers = published_layers(data)
    for name, checkpoint in models:
        fitted = recipe.fitted_to(checkpoint)
        if name not in published:
            continue
        if published[name].source_hash != checkpoint.source_hash:
            raise name_taken(name, published[name].source)
        _check_layers(name, layers[name], fitted.layers)


def check_pair(data: Path, name: str, base: str, instruct: str) -> None:
    """Check that the current label file has no pair of this name that is of other models.

    Raises:
        LabelFileError: the name is taken.
    """
    if published_pairs(data).get(name, (base, instruct)) != (base, instruct):
        raise pair_name_taken(name)


def _check_layers(name: str, published: range, wanted: range | None) -> None:
    """Refuse to map some layers of a model that has others in the label file: publishing would drop the others."""
    if wanted and set(published) - set(wanted):
        raise CheckpointError(
            f"{name} has {name_layers(published)} mapped, which a file with {name_layers(wanted)} would "
            "lose. Give --layers that hold both, no --layers, or another --name."
        )
