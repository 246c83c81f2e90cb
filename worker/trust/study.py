"""The trial of recipes on a model of the library: a sample of neurons of every layer, clamped as in its measurement.

Knows where models, ranges and weight vectors come from; knows nothing of what a recipe does.
"""

from collections.abc import Callable

import torch

from neuronym.contract import Direction
from neuronym.settings import Settings
from worker.errors import CheckpointError
from worker.lens.exact import Head
from worker.library.checkpoints import PublishedCheckpoints
from worker.library.published import published_ranges
from worker.machine.device import choose_device, precision
from worker.measuring.effect import SITES, Ranges
from worker.measuring.measure import ENDS, build_effects
from worker.steering.clamp import Sites
from worker.trust.recipes import RECIPES, HeadRecipe, norm_gain, prepare_head
from worker.trust.report import RecipeResult
from worker.trust.trial import RecipeTrial


def try_recipes(settings: Settings, name: str, sample: int, tell: Callable[[int, int], None]) -> list[RecipeResult]:
    """Try every recipe on a model of the library whose activity is measured.

    Args:
        sample: the number of neurons of each layer.
        tell: called after each layer with the layers done and the layers in all.

    Raises:
        CheckpointError: the model cannot be opened, loaded or measured.
    """
    checkpoint = PublishedCheckpoints(settings.data)[name]()
    device = choose_device(settings.device)
    model = checkpoint.load(device, precision(device))[0]
    sites = Sites(model, checkpoint.family, checkpoint.layers, checkpoint.neurons)
    ids = torch.tensor(checkpoint.vocabulary.ids)
    gain = norm_gain(model.get_submodule(checkpoint.family.norm), checkpoint.width)
    heads = _prepare_heads(checkpoint.head()[ids], gain)
    trial = RecipeTrial(build_effects(checkpoint, model, sites), heads, ids, checkpoint.views)
    ranges = _ranges(settings, name)
    for layer in range(checkpoint.layers):
        trial.measure_layer(
            layer,
            {view: checkpoint.rows(view, layer) for view in checkpoint.views},
            checkpoint.input_gain(layer),
            {site: {end: ranges[site][end][layer] for end in ENDS} for site in SITES},
            _sample(checkpoint.neurons, sample, layer),
        )
        tell(layer + 1, checkpoint.layers)
    return trial.results(checkpoint.layers)


def _prepare_heads(head: torch.Tensor, gain: torch.Tensor) -> dict[HeadRecipe, Head]:
    """Prepare the head `(vocab, width)` for every recipe, once for those that share it."""
    tokens = torch.arange(len(head))
    return {recipe: Head(prepare_head(head, gain, recipe), tokens) for recipe in {each.head for each in RECIPES}}


def _sample(neurons: int, size: int, seed: int) -> torch.Tensor:
    order = torch.randperm(neurons, generator=torch.Generator().manual_seed(seed))
    return order[:size].sort().values


def _ranges(settings: Settings, name: str) -> Ranges:
    """Read the ranges of all neurons by site and end, `(layers, neurons)` each."""
    ranges = {
        site: {end: torch.from_numpy(published_ranges(settings.data, name, site, ENDS[end])) for end in Direction}
        for site in SITES
    }
    if any(values.isnan().any() for ends in ranges.values() for values in ends.values()):
        raise CheckpointError(f"The activity of {name} is not measured. Run `neuronym-worker effect {name}` first.")
    return ranges
