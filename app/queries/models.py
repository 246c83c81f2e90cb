"""Which models are mapped, with their provenance, their pairs and what was measured on them."""

from app.labelfile.library import Library
from app.queries.lookup import find_model
from neuronym.contract import ModelAnswer, ModelsAnswer


def models(labels: Library) -> ModelsAnswer:
    """All mapped models; their measurements are those of whole models, without layers."""
    return ModelsAnswer(run=labels.run, models=list(labels.models.values()))


def model(labels: Library, name: str) -> ModelAnswer:
    """One model with its measurements layer by layer; NotFound names the models that are mapped."""
    summary = find_model(labels, name)
    return ModelAnswer(
        run=labels.run,
        name=summary.name,
        layers=summary.layers,
        mapped_layers=summary.mapped_layers,
        neurons=summary.neurons,
        width=summary.width,
        vocab=summary.vocab,
        source=summary.source,
        revision=summary.revision,
        source_hash=summary.source_hash,
        adapter=summary.adapter,
        architecture=summary.architecture,
        gated=summary.gated,
        tied=summary.tied,
        chat=summary.chat,
        note=summary.note,
        tokenizer=summary.tokenizer,
        dtype=summary.dtype,
        device=summary.device,
        versions=summary.versions,
        settings=summary.settings,
        views=summary.views,
        lenses=summary.lenses,
        mapped_at=summary.mapped_at,
        seconds=summary.seconds,
        pairs=summary.pairs,
        measurements=labels.holdings.measurements[name],
    )
