"""All that is known of one neuron."""

from app.catalog import LabelFile
from app.contract import NeuronAnswer


def neuron(labels: LabelFile, model: str, layer: int, index: int) -> NeuronAnswer:
    """A neuron's labels, activity, effect and neighbours; NotFound names the models or the range."""
    raise NotImplementedError
