"""Which neurons are named after a token: the search.

Says what is asked and what is answered. Text is read by `app.queries.search.language`, tokens are found by
`app.queries.search.token_match`, and `app.queries.search.rows` asks the database.
"""

from app.labelfile.label_file import LabelFile
from app.queries.lookup import has_neuron, neuron_name, neuron_ref
from app.queries.params import Text
from app.queries.search.filters import Listed, models_asked
from app.queries.search.language import Address, parse
from app.queries.search.rows import read_page
from app.queries.search.token_match import match, spelled
from neuronym.contract import ModelSummary, NeuronRef, SearchAnswer, name_layers


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
    neurons, notes = _neurons(models, parsed.addresses)
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


def _neurons(models: list[ModelSummary], addresses: list[Address]) -> tuple[list[NeuronRef], list[str]]:
    found, notes = [], []
    for asked in addresses:
        there = [model.name for model in models if has_neuron(model, asked.layer, asked.index)]
        found += [neuron_ref(name, asked.layer, asked.index) for name in there]
        if not there:
            notes.append(_missing(models, asked))
    return found, notes


def _missing(models: list[ModelSummary], asked: Address) -> str:
    """Why there is no such neuron in any of the models."""
    name = neuron_name(asked.layer, asked.index)
    partly = [one for one in models if asked.layer < one.layers and asked.index < one.neurons]
    if partly:
        mapped = ", ".join(f"{one.name} has {name_layers(one.mapped)} of {one.layers}" for one in partly)
        return f"The layer of {name} is not mapped: {mapped}."
    last = ", ".join(f"{neuron_name(one.layers - 1, one.neurons - 1)} in {one.name}" for one in models)
    return f"There is no neuron {name}; the last is {last}."
