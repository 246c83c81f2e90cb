"""Places that exist: a model, a pair, a layer, a neuron, a view. What does not is refused by naming what does."""

from collections.abc import Iterable

from app.errors import NotFound, Unprocessable, clip
from app.labelfile.label_file import LabelFile
from app.labelfile.summary import Pair
from neuronym.contract import Lens, ModelSummary, NeuronRef, View, name_layers
from neuronym.neuron_name import NeuronName


def neuron_ref(model: str, layer: int, index: int) -> NeuronRef:
    """A neuron's whole address."""
    return NeuronRef(model=model, neuron=str(NeuronName(layer, index)), layer=layer, index=index)


def find_model(labels: LabelFile, name: str) -> ModelSummary:
    """A mapped model; NotFound names the models that are."""
    if name not in labels.models:
        raise NotFound(f"No model “{clip(name)}” is mapped. Mapped models: {_listed(labels.models)}.")
    return labels.models[name]


def find_pair(labels: LabelFile, name: str) -> Pair:
    """A mapped pair; NotFound names the pairs that are."""
    pairs = labels.holdings.pairs
    if name not in pairs:
        raise NotFound(f"No pair “{clip(name)}” is mapped. Mapped pairs: {_listed(pairs) or 'none'}.")
    return pairs[name]


def find_layer(model: ModelSummary, layer: int) -> None:
    """NotFound when `model` has no such layer, or it is not mapped."""
    if not 0 <= layer < model.layers:
        raise NotFound(f"{model.name} has no layer {layer}: its layers are 0 to {model.layers - 1}.")
    if layer not in model.mapped:
        raise NotFound(
            f"Layer {layer} of {model.name} is not mapped, only {name_layers(model.mapped)} of {model.layers}: run the "
            "same `neuronym-worker map` without --layers to map the rest."
        )


def find_neuron(model: ModelSummary, layer: int, index: int) -> None:
    """NotFound when `model` has no such neuron, or its layer is not mapped."""
    find_layer(model, layer)
    if not 0 <= index < model.neurons:
        raise NotFound(f"{model.name} has no neuron {index} in a layer: its neurons are 0 to {model.neurons - 1}.")


def has_neuron(model: ModelSummary, layer: int, index: int) -> bool:
    """Whether this neuron of `model` is mapped."""
    return layer in model.mapped and 0 <= index < model.neurons


def check_view(models: Iterable[ModelSummary], view: View, lens: Lens | None) -> None:
    """Unprocessable when none of `models` was mapped under this view and lens; the sentence says what there is."""
    asked = list(models)
    if not any(view in model.views for model in asked):
        raise Unprocessable(*(_no_view(model, view) for model in asked))
    if lens and not any(lens in model.lenses for model in asked):
        mapped = "; ".join(f"{model.name} under {_listed(model.lenses)}" for model in asked)
        raise Unprocessable(f"lens: nothing is mapped under {lens.value}. Mapped: {mapped}.")


def _no_view(model: ModelSummary, view: View) -> str:
    why = "was mapped without it" if model.gated or view is not View.gate else "its MLP is ungated"
    return f"view: {model.name} has no view {view.value} ({why}); its views are {_listed(model.views)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(str(name) for name in names)
