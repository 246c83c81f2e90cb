"""Which models are mapped, with their provenance, their pairs and what was measured on them."""

from app.labelfile.label_file import LabelFile
from app.queries.lookup import find_model
from neuronym.contract import ModelAnswer, ModelsAnswer


def models(labels: LabelFile) -> ModelsAnswer:
    """What the label file holds."""
    return ModelsAnswer(run=labels.run, models=list(labels.models.values()))


def model(labels: LabelFile, name: str) -> ModelAnswer:
    """One model with its measurements layer by layer; NotFound names the models that are mapped."""
    summary = dict(find_model(labels, name)) | {"measurements": labels.holdings.measurements[name]}
    return ModelAnswer(run=labels.run, **summary)
