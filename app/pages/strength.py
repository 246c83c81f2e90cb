"""What a strength means, in a sentence: the rule of the label file that is served, with its rates.

Knows measurements; knows nothing of HTML.
"""

from app.html.text import percent
from app.labelfile.label_file import LabelFile
from neuronym.contract import ControlMeasurement, Strength

Meanings = dict[Strength, str]


def meanings(control: ControlMeasurement | None) -> Meanings:
    """Each strength as a sentence; empty where no control was measured."""
    if control is None:
        return {}
    strong, weak = (control.settings.rates[grade] for grade in (Strength.strong, Strength.weak))
    return {
        Strength.strong: f"Stands further out than {_below(strong)} of its layer’s control rows.",
        Strength.weak: f"Stands further out than {_below(weak)} but not {_below(strong)} of its layer’s control rows.",
        Strength.noise: f"Stands no further out than {_below(weak)} of its layer’s control rows.",
    }


def meanings_of(labels: LabelFile) -> dict[str, Meanings]:
    """The same of every mapped model."""
    return {name: meanings(one.control) for name, one in labels.holdings.measurements.items()}


def rules(labels: LabelFile) -> dict[str, tuple[ControlMeasurement, list[str]]]:
    """Each rule of the file by its wording, with a measurement that used it and the models it was used on."""
    found: dict[str, tuple[ControlMeasurement, list[str]]] = {}
    for name, measured in labels.holdings.measurements.items():
        if control := measured.control:
            found.setdefault(control.settings.model_dump_json(), (control, []))[1].append(name)
    return {control.settings.rule: (control, names) for control, names in found.values()}


def _below(rate: float) -> str:
    """The share of controls that stay within a threshold which `rate` of them pass."""
    return percent(1 - rate).replace(".0%", "%")
