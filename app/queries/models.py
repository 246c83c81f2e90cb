"""Which models are mapped, with their provenance, their pairs and what was measured on them."""

from app.catalog import LabelFile
from app.contract import ModelAnswer, ModelsAnswer
from app.queries.places import find_model


def models(labels: LabelFile) -> ModelsAnswer:
    """What the label file holds."""
    return ModelsAnswer(run=labels.run, models=list(labels.models.values()))


def model(labels: LabelFile, name: str) -> ModelAnswer:
    """One model with its measurements layer by layer; NotFound names the models that are mapped."""
    summary = dict(find_model(labels, name)) | {"measurements": labels.holdings.measurements[name]}
    return ModelAnswer(run=labels.run, **summary)
