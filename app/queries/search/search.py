"""The search: which neurons have a token in their label.

The text is read by `app.queries.search.language`, its tokens are found by `app.queries.search.token_match`, and
`app.queries.search.rows` reads the database.
"""

from app.labelfile.library import Library
from app.queries.lookup import has_neuron, neuron_ref
from app.queries.params import TextQuestion
from app.queries.search.filters import PagedFilters, find_models
from app.queries.search.language import parse
from app.queries.search.rows import read_page
from app.queries.search.token_match import describe_tokens, find_tokens
from neuronym.contract import ModelSummary, NeuronRef, SearchAnswer, name_layers
from neuronym.neuron_name import NeuronName


class SearchQuery(PagedFilters, TextQuestion):
    """The parameters of a search: a text, filters, an order and a page."""


def search(labels: Library, query: SearchQuery, *, folded: bool = False) -> SearchAnswer:
    """Find the neurons whose label holds a token of the text `q`; errors as in `find_models`.

    `folded` counts the same label in paired models once, as the page for people shows it.
    """
    models = find_models(labels, query)
    parsed = parse(query.q)
    vocabularies = labels.vocabularies([model.name for model in models])
    matches = find_tokens(parsed.alternatives, vocabularies)
    neurons, notes = _find_neurons(models, parsed.neurons)
    total, results = read_page(labels, query, [model.name for model in models], matches.tokens, folded=folded)
    return SearchAnswer(
        run=labels.run,
        query=query.model_dump(mode="json"),
        tokens=describe_tokens(matches.tokens, vocabularies),
        pieces=describe_tokens(matches.pieces, vocabularies),
        neurons=neurons,
        notes=parsed.notes + matches.notes + notes,
        total=total,
        limit=query.limit,
        offset=query.offset,
        results=results,
    )


def _find_neurons(models: list[ModelSummary], names: list[NeuronName]) -> tuple[list[NeuronRef], list[str]]:
    """Find the neurons with these names in each of the models; a note explains each name that no model has."""
    neurons, notes = [], []
    for name in names:
        models_with_neuron = [model.name for model in models if has_neuron(model, name.layer, name.index)]
        neurons += [neuron_ref(model, name.layer, name.index) for model in models_with_neuron]
        if not models_with_neuron:
            notes.append(_explain_missing(models, name))
    return neurons, notes


def _explain_missing(models: list[ModelSummary], name: NeuronName) -> str:
    """Explain why none of the models has a neuron of this name."""
    partly_mapped = [model for model in models if name.layer < model.layers and name.index < model.neurons]
    if partly_mapped:
        mapped = ", ".join(f"{model.name} has {name_layers(model.mapped)} of {model.layers}" for model in partly_mapped)
        return f"The layer of {name} is not mapped: {mapped}."
    last = ", ".join(f"{NeuronName(model.layers - 1, model.neurons - 1)} in {model.name}" for model in models)
    return f"There is no neuron {name}; the last is {last}."
