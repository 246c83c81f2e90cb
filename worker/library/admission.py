"""What the library would refuse to take in, asked before hours of mapping: names that are taken, layers to be lost.

Knows what is current; builds nothing.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from neuronym.contract import name_layers
from neuronym.library import is_name
from worker.checkpoints.checkpoint import Checkpoint
from worker.errors import CheckpointError, LabelFileError
from worker.library.published import published_model, published_pair
from worker.mapping.recipe import MapRecipe


def check_models(data: Path, models: Sequence[tuple[str, Checkpoint]], recipe: MapRecipe) -> None:
    """Check that the library has no other model of these names, and would lose no layers of them.

    Raises:
        CheckpointError: a model does not fit the recipe, or would lose layers.
        LabelFileError: a name is taken, or cannot name a file.
    """
    for name, checkpoint in models:
        fitted = recipe.fitted_to(checkpoint)
        check_name(name)
        published = published_model(data, name)
        if published is None:
            continue
        if published.source_hash != checkpoint.source_hash:
            raise name_taken(name, published.source)
        _check_layers(name, published.layers, fitted.layers)


def is_mapped(data: Path, name: str, checkpoint: Checkpoint, recipe: MapRecipe) -> bool:
    """Whether the library has this model's labels, mapped by this version from here under this very recipe."""
    published = published_model(data, name)
    if published is None or published.version != version("neuronym"):
        return False
    wanted = recipe.fitted_to(checkpoint).record()
    if recipe.precision == "auto":
        del wanted["precision"]  # what was used stands there, which is as good as any
    same_layers = published.settings.get("layers") == wanted.get("layers")
    same_recipe = same_layers and wanted.items() <= published.settings.items()
    same_source = published.source == checkpoint.source.recorded  # else the file would name a place of before
    return same_recipe and same_source and published.tokenizer == checkpoint.vocabulary.hash


def check_name(name: str) -> None:
    """Refuse a name that cannot be that of a file.

    Raises:
        LabelFileError: it cannot.
    """
    if not is_name(name):
        raise LabelFileError(f"{name[:60]!r} cannot name a file of the library: give a shorter, plainer --name.")


def check_pair(data: Path, name: str, base: str, instruct: str, option: str = "--pair-name") -> None:
    """Check that the library has no pair of this name that is of other models.

    Args:
        option: what gives it another name.

    Raises:
        LabelFileError: the name is taken, or cannot name a file.
    """
    check_name(name)
    if published_pair(data, name) not in (None, (base, instruct)):
        raise LabelFileError(f"The pair {name!r} stands for two other models. Give {option}.")


def name_taken(name: str, source: str) -> LabelFileError:
    """The refusal of a model whose name another one has, which was mapped from `source`."""
    return LabelFileError(f"The name {name!r} is taken by a model with other weights ({source}). Give --name.")


def _check_layers(name: str, published: range, wanted: range | None) -> None:
    """Refuse to map some layers of a model that has others in the library: publishing would drop the others."""
    if wanted and set(published) - set(wanted):
        raise CheckpointError(
            f"{name} has {name_layers(published)} mapped, which a file with {name_layers(wanted)} would "
            "lose. Give --layers that hold both, no --layers, or another --name."
        )
