"""Quantised weights: the values that stored numbers and their scales stand for together."""

from worker.checkpoints.quantised.method import PLAIN_TYPES, Quantisation
from worker.checkpoints.quantised.methods import MEND, quantisation_of
from worker.checkpoints.quantised.parts import ParameterParts, is_of_activations, parts_of_parameters

__all__ = [
    "MEND",
    "PLAIN_TYPES",
    "ParameterParts",
    "Quantisation",
    "is_of_activations",
    "parts_of_parameters",
    "quantisation_of",
]
