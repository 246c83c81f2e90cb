"""Measurements of a model as a whole: when, with which settings, and with what result."""

from pydantic import BaseModel, JsonValue

from neuronym.contract.words import Lens, Strength, View


class Measurement(BaseModel):
    """When a measurement ended, and how long it took."""

    measured_at: str
    seconds: float


class StrengthRule(BaseModel):
    """When a label is strong or weak: `rates` are the shares of control rows that would be called so."""

    rule: str
    controls: int
    rates: dict[Strength, float]


class StrengthCount(BaseModel):
    """Labels of one view and lens by strength.

    `false_strong` is how many would be strong by chance, `false_share` that number over the strong ones found.
    """

    view: View
    lens: Lens
    labels: int
    strong: int
    weak: int
    noise: int
    false_strong: float
    false_share: float


class LayerThreshold(StrengthCount):
    """The counts of one layer, with the deviations from the mean beyond which a label is weak, and strong."""

    layer: int
    weak_above: float
    strong_above: float


class ControlResult(BaseModel):
    """Counts by view and lens; `layers` is null in a list of models."""

    views: list[StrengthCount]
    layers: list[LayerThreshold] | None = None


class ControlMeasurement(Measurement):
    """The noise level: what the strength of labels is measured against."""

    settings: StrengthRule
    result: ControlResult


class ActivityResult(BaseModel):
    """How much text was read: positions that count, in so many windows."""

    positions: int
    windows: int


class ActivityMeasurement(Measurement):
    """What neurons do on text."""

    settings: dict[str, JsonValue]
    result: ActivityResult


class LabelFigures(BaseModel):
    """What clamps did to the first tokens of the labels of a view and lens.

    Shares of tokens that rose, of controls (tokens of mismatched neurons) that rose, and of tokens that rose more than
    their control; mean changes in nats.
    """

    rises: float
    control_rises: float
    beyond_control: float
    mean: float
    control_mean: float


class FirstShown(BaseModel):
    """The view and lens whose labels hold most often."""

    view: View
    lens: Lens


class EffectResult(BaseModel):
    """What clamps did to labels as a whole, by view and lens as `down cosine`.

    Clamped `high`, the highest token should rise; clamped `low`, the lowest.
    """

    rows: int
    mean_kl: float
    high: dict[str, LabelFigures]
    low: dict[str, LabelFigures]
    first: FirstShown | None = None


class EffectMeasurement(Measurement):
    """What clamping neurons does to the tokens their labels name."""

    settings: dict[str, JsonValue]
    result: EffectResult


class Measurements(BaseModel):
    """The measurements of a model; null where there is none."""

    control: ControlMeasurement | None = None
    activity: ActivityMeasurement | None = None
    effect: EffectMeasurement | None = None
