"""Neurons worth a first look, picked from the label file itself: late layers, word-like labels that can be trusted.

Picked once for each label file. Knows nothing of HTML.
"""

import re
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from app.html.text import plain
from app.labelfile.label_file import LabelFile
from app.queries.layers import LayerQuery, layer
from neuronym.contract import LayerNeuron, ModelSummary, Side, Strength, View
from neuronym.label_tables import fold, holds

WORD = re.compile(r" ?[^\W\d_]{4,}")
STOPS = 6
LOOKED_AT = 200  # neurons of each layer
LAYERS = 5  # the last ones
COMMON = 0.05  # share of the vocabulary taken for everyday words: byte-pair ids rise as tokens get rarer


_picked: WeakKeyDictionary[LabelFile, dict[str, list[LayerNeuron]]] = WeakKeyDictionary()  # gone with its file


def tour(labels: LabelFile, model: str) -> list[LayerNeuron]:
    """At most six neurons of a model, the latest layer first; each has another name. Empty if nothing is mapped."""
    picked = _picked.setdefault(labels, {})
    if model not in picked and model in labels.models:
        picked[model] = _pick(labels, labels.models[model])
    return picked.get(model, [])


def _pick(labels: LabelFile, model: ModelSummary) -> list[LayerNeuron]:
    late = sorted(_late(labels, model), key=lambda neuron: (not _trusted(neuron), -neuron.z))
    common = int(COMMON * model.vocab)
    candidates = [neuron for neuron in late if _of_one_field(neuron, common)] or [
        neuron for neuron in late if WORD.fullmatch(neuron.top_tokens[0].text)
    ]
    chosen: dict[str, LayerNeuron] = {}
    for candidate in candidates:
        word = fold(candidate.top_tokens[0].text)
        fresh = all(word[:4] != other[:4] and not _same(candidate, stop) for other, stop in chosen.items())
        if fresh and _room(candidate, list(chosen.values())):
            chosen[word] = candidate
    return sorted(chosen.values(), key=lambda neuron: (-neuron.layer, neuron.index))


def named(neuron: LayerNeuron) -> str:
    """The neuron's first token as a word."""
    return plain(neuron.top_tokens[0].text)


def _late(labels: LabelFile, model: ModelSummary) -> Iterator[LayerNeuron]:
    """The most specialised neurons of the last layers."""
    for number in model.mapped[-LAYERS:]:
        for view in model.views:
            query = LayerQuery(view=view, sort="z", limit=LOOKED_AT)
            yield from layer(labels, model.name, number, query).results


def _trusted(neuron: LayerNeuron) -> bool:
    """Whether its highest tokens name it strongly, and rise when it is clamped high, as far as that was measured."""
    strong = neuron.strength is Strength.strong and neuron.named_by is Side.top
    return strong and holds(neuron.effect, neuron.named_by) is not False


def _of_one_field(neuron: LayerNeuron, common: int) -> bool:
    """Whether the label is made of several words of one field, rather than of forms of one word or of pieces."""
    texts = [token.text for token in neuron.top_tokens[:5]]
    stems = {fold(text)[:3] for text in texts}
    words = all(WORD.fullmatch(text) and text.isascii() for text in texts)
    return words and len(stems) >= 4 and neuron.top_tokens[0].token_id >= common


def _same(one: LayerNeuron, other: LayerNeuron) -> bool:
    return (one.layer, one.index) == (other.layer, other.index)


def _room(candidate: LayerNeuron, chosen: list[LayerNeuron]) -> bool:
    """Each view and layer may take its share only."""
    of_view = sum(neuron.view == candidate.view for neuron in chosen)
    of_layer = sum(neuron.layer == candidate.layer for neuron in chosen)
    share = STOPS // 2 if candidate.view == View.down else 2
    return len(chosen) < STOPS and of_view < share and of_layer < 2
