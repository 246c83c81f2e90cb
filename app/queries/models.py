"""Which models are mapped, with their provenance and their pairs."""

from app.catalog import LabelFile
from app.contract import ModelsAnswer


def models(labels: LabelFile) -> ModelsAnswer:
    """What the label file holds."""
    return ModelsAnswer(run=labels.run, models=list(labels.models.values()))
