"""Find a model or a pair, and check that a layer, a neuron or a view exists; errors name those that do."""

from collections.abc import Iterable

from app.errors import NotFound, Unprocessable, clip
from app.labelfile.library import Library
from app.labelfile.summary import Pair
from neuronym.contract import Lens, ModelSummary, NeuronRef, View, name_layers
from neuronym.neuron_name import NeuronName


def neuron_ref(model: str, layer: int, index: int) -> NeuronRef:
    """The full address of a neuron: its model, its name, its layer and its index."""
    return NeuronRef(model=model, neuron=str(NeuronName(layer, index)), layer=layer, index=index)


def find_model(labels: Library, name: str) -> ModelSummary:
    """Find a mapped model; NotFound names the mapped models."""
    if ("model", name) in labels.unreadable:
        raise NotFound(f"The label file of {name} cannot be read: `neuronym doctor` says why.")
    if name not in labels.models:
        raise NotFound(f"No model “{clip(name)}” is mapped. Mapped models: {_join_names(labels.models)}.")
    return labels.models[name]


def find_pair(labels: Library, name: str) -> Pair:
    """Find a mapped pair; NotFound names the mapped pairs."""
    pairs = labels.holdings.pairs
    if name not in pairs:
        raise NotFound(f"No pair “{clip(name)}” is mapped. Mapped pairs: {_join_names(pairs) or 'none'}.")
    return pairs[name]


def check_layer(model: ModelSummary, layer: int) -> None:
    """Raise NotFound when `model` has no such layer, or the layer is not mapped."""
    if not 0 <= layer < model.layers:
        raise NotFound(f"{model.name} has no layer {layer}: its layers are 0 to {model.layers - 1}.")
    if layer not in model.mapped:
        raise NotFound(
            f"Layer {layer} of {model.name} is not mapped, only {name_layers(model.mapped)} of {model.layers}: run the "
            "same `neuronym-worker map` without --layers to map the rest."
        )


def check_neuron(model: ModelSummary, layer: int, index: int) -> None:
    """Raise NotFound when `model` has no such neuron, or its layer is not mapped."""
    check_layer(model, layer)
    if not 0 <= index < model.neurons:
        raise NotFound(f"{model.name} has no neuron {index} in a layer: its neurons are 0 to {model.neurons - 1}.")


def has_neuron(model: ModelSummary, layer: int, index: int) -> bool:
    """Whether this neuron of `model` is mapped."""
    return layer in model.mapped and 0 <= index < model.neurons


def check_view(models: Iterable[ModelSummary], view: View, lens: Lens | None) -> None:
    """Raise Unprocessable when none of `models` was mapped under this view or lens; the error names those that are."""
    candidates = list(models)
    if not any(view in model.views for model in candidates):
        raise Unprocessable(*(_missing_view(model, view) for model in candidates))
    if lens and not any(lens in model.lenses for model in candidates):
        mapped = "; ".join(f"{model.name} under {_join_names(model.lenses)}" for model in candidates)
        raise Unprocessable(f"lens: nothing is mapped under {lens.value}. Mapped: {mapped}.")


def _missing_view(model: ModelSummary, view: View) -> str:
    reason = "was mapped without it" if model.gated or view is not View.gate else "its MLP is ungated"
    return f"view: {model.name} has no view {view.value} ({reason}); its views are {_join_names(model.views)}."


def _join_names(names: Iterable[str]) -> str:
    return ", ".join(str(name) for name in names)
