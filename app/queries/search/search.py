"""Which neurons are named after a token: the search.

Says what is asked and what is answered. Text is read by `app.queries.search.language`, tokens are found by
`app.queries.search.token_match`, and `app.queries.search.rows` asks the database.
"""

from app.labelfile.label_file import LabelFile
from app.queries.lookup import has_neuron, neuron_ref
from app.queries.params import Text
from app.queries.search.filters import Listed, models_asked
from app.queries.search.language import parse
from app.queries.search.rows import read_page
from app.queries.search.token_match import match, spelled
from neuronym.contract import ModelSummary, NeuronRef, SearchAnswer, name_layers
from neuronym.neuron_name import NeuronName


class SearchQuery(Listed, Text):
    """What is searched, where, and in which order."""


def search(labels: LabelFile, query: SearchQuery, *, folded: bool = False) -> SearchAnswer:
    """Neurons whose label holds the asked tokens; unknown model or pair: NotFound, bad range: Unprocessable.

    `folded` counts and pages the same label in paired models once, as the page shows it.
    """
    models = models_asked(labels, query)
    parsed = parse(query.q)
    vocabularies = labels.vocabularies([model.name for model in models])
    found = match(parsed.alternatives, vocabularies)
    neurons, notes = _neurons(models, parsed.neurons)
    total, results = read_page(labels, query, [model.name for model in models], found.tokens, folded=folded)
    return SearchAnswer(
        run=labels.run,
        query=query.model_dump(mode="json"),
        tokens=spelled(found.tokens, vocabularies),
        pieces=spelled(found.pieces, vocabularies),
        neurons=neurons,
        notes=parsed.notes + found.notes + notes,
        total=total,
        limit=query.limit,
        offset=query.offset,
        results=results,
    )


def _neurons(models: list[ModelSummary], names: list[NeuronName]) -> tuple[list[NeuronRef], list[str]]:
    """The neurons with these names in each of the models, and why there are none where there are none."""
    neurons, notes = [], []
    for name in names:
        having = [model.name for model in models if has_neuron(model, name.layer, name.index)]
        neurons += [neuron_ref(model, name.layer, name.index) for model in having]
        if not having:
            notes.append(_missing(models, name))
    return neurons, notes


def _missing(models: list[ModelSummary], name: NeuronName) -> str:
    """Why there is no such neuron in any of the models."""
    partly = [model for model in models if name.layer < model.layers and name.index < model.neurons]
    if partly:
        mapped = ", ".join(f"{model.name} has {name_layers(model.mapped)} of {model.layers}" for model in partly)
        return f"The layer of {name} is not mapped: {mapped}."
    last = ", ".join(f"{NeuronName(model.layers - 1, model.neurons - 1)} in {model.name}" for model in models)
    return f"There is no neuron {name}; the last is {last}."
