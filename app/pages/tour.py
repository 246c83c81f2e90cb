"""Neurons worth a first look: late layers, trusted labels of whole words. Picked once for each state of the library.

Knows nothing of HTML.

"""

import re
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from app.html.text import plain
from app.labelfile.library import Library
from app.queries.layers import LayerQuery, layer
from neuronym.contract import LayerNeuron, ModelSummary, Side, Strength, View
from neuronym.label_tables import fold, holds

WORD = re.compile(r" ?[^\W\d_]{4,}")
STOPS = 6
LOOKED_AT = 200  # neurons of each layer that are considered
LAYERS = 5  # at the end of the model
COMMON = 0.05  # share of the vocabulary taken for everyday words: byte-pair ids rise as tokens get rarer


_picked: WeakKeyDictionary[Library, dict[str, list[LayerNeuron]]] = WeakKeyDictionary()  # forgotten with its file


def tour(labels: Library, model: str) -> list[LayerNeuron]:
    """At most six neurons of a mapped model, the latest layer first, with different names; else an empty list."""
    picked = _picked.setdefault(labels, {})
    if model not in picked and model in labels.models:
        picked[model] = _pick(labels, labels.models[model])
    return picked.get(model, [])


def _pick(labels: Library, model: ModelSummary) -> list[LayerNeuron]:
    late = sorted(_late_neurons(labels, model), key=lambda neuron: (not _is_trusted(neuron), -neuron.z))
    common = int(COMMON * model.vocab)
    candidates = [neuron for neuron in late if _is_of_one_field(neuron, common)] or [
        neuron for neuron in late if WORD.fullmatch(neuron.top_tokens[0].text)
    ]
    chosen: dict[str, LayerNeuron] = {}
    for candidate in candidates:
        word = fold(candidate.top_tokens[0].text)
        is_new = all(word[:4] != other[:4] and not _is_same_neuron(candidate, stop) for other, stop in chosen.items())
        if is_new and _has_room(candidate, list(chosen.values())):
            chosen[word] = candidate
    return sorted(chosen.values(), key=lambda neuron: (-neuron.layer, neuron.index))


def first_word(neuron: LayerNeuron) -> str:
    """The neuron's first token as a word."""
    return plain(neuron.top_tokens[0].text)


def _late_neurons(labels: Library, model: ModelSummary) -> Iterator[LayerNeuron]:
    """The neurons with the highest z of the last layers, under every view."""
    for number in model.mapped[-LAYERS:]:
        for view in model.views:
            query = LayerQuery(view=view, sort="z", limit=LOOKED_AT)
            yield from layer(labels, model.name, number, query).results


def _is_trusted(neuron: LayerNeuron) -> bool:
    """Whether the top end names the neuron strongly, and the effect of clamping it, if measured, agrees."""
    strong = neuron.strength is Strength.strong and neuron.named_by is Side.top
    return strong and holds(neuron.effect, neuron.named_by) is not False


def _is_of_one_field(neuron: LayerNeuron, common: int) -> bool:
    """Whether the label is made of whole words of different stems, rather than forms of one word or fragments."""
    texts = [token.text for token in neuron.top_tokens[:5]]
    stems = {fold(text)[:3] for text in texts}
    words = all(WORD.fullmatch(text) and text.isascii() for text in texts)
    return words and len(stems) >= 4 and neuron.top_tokens[0].token_id >= common


def _is_same_neuron(neuron: LayerNeuron, other: LayerNeuron) -> bool:
    return (neuron.layer, neuron.index) == (other.layer, other.index)


def _has_room(candidate: LayerNeuron, chosen: list[LayerNeuron]) -> bool:
    """Whether the candidate's view and layer have not yet used up their share of the tour."""
    of_view = sum(neuron.view == candidate.view for neuron in chosen)
    of_layer = sum(neuron.layer == candidate.layer for neuron in chosen)
    share = STOPS // 2 if candidate.view == View.down else 2
    return len(chosen) < STOPS and of_view < share and of_layer < 2
