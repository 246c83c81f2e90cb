"""The strengths in words: the rule of the models that are served, with its rates.

Knows measurements; knows nothing of HTML.

"""

from app.html.text import percent
from app.labelfile.library import Library
from neuronym.contract import ControlMeasurement, Strength

Meanings = dict[Strength, str]


def meanings(control: ControlMeasurement | None) -> Meanings:
    """A sentence on each strength; empty where no control was measured."""
    if control is None:
        return {}
    rates = control.settings.rates
    strong, weak = (_within(rates[grade]) for grade in (Strength.strong, Strength.weak))
    return {
        Strength.strong: f"Stands further out than {strong} of its layer’s control rows.",
        Strength.weak: f"Stands further out than {weak} but not {strong} of its layer’s control rows.",
        Strength.noise: f"Stands no further out than {weak} of its layer’s control rows.",
    }


def meanings_by_model(labels: Library) -> dict[str, Meanings]:
    """The sentences on each strength for every mapped model, by model name."""
    return {name: meanings(measured.control) for name, measured in labels.holdings.measurements.items()}


def rules(labels: Library) -> dict[str, tuple[ControlMeasurement, list[str]]]:
    """The strength rules of the file by wording, each with a measurement that used it and the names of its models."""
    by_settings: dict[str, tuple[ControlMeasurement, list[str]]] = {}
    for name, measured in labels.holdings.measurements.items():
        if control := measured.control:
            by_settings.setdefault(control.settings.model_dump_json(), (control, []))[1].append(name)
    return {control.settings.rule: (control, names) for control, names in by_settings.values()}


def _within(rate: float) -> str:
    """The share of control rows within a threshold that a share of `rate` exceeds."""
    return percent(1 - rate).replace(".0%", "%")
