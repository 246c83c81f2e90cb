"""The language of the search box: reads a text into words, exact texts, prefixes and names of neurons.

`California` is a word, whatever its case and the white space around it; `" California"` is exactly this text (with
`""` for a quote); `cali*` is a prefix; `dog, puppy` is either word; `L22N57` is a neuron. Everything else is text, and
no text is ever a syntax error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from neuronym.neuron_name import NeuronName

MAX_ALTERNATIVES = 64

_QUOTED = re.compile(r'\s*+"((?:[^"]|"")*+)("|\Z)\s*+(?=,|\Z)', re.DOTALL)
_PLAIN = re.compile(r"[^,]*", re.DOTALL)


@dataclass(frozen=True)
class Alternative:
    """One of the texts to search for; `text` is without its quotes or star."""

    kind: Literal["word", "exact", "prefix"]
    text: str


@dataclass(frozen=True)
class ParsedText:
    """What a text in the search box says; `notes` are sentences for the user."""

    alternatives: list[Alternative]
    neurons: list[NeuronName]
    notes: list[str]


def parse(text: str) -> ParsedText:
    """Read a text of the search box; each alternative is kept once, in order."""
    alternatives = list(dict.fromkeys(_read_alternatives(text)))
    notes = []
    if not alternatives:
        notes.append("Type a word, for example California, or the name of a neuron, for example L22N57.")
    if len(alternatives) > MAX_ALTERNATIVES:
        notes.append(f"Only the first {MAX_ALTERNATIVES} of {len(alternatives)} alternatives were looked up.")
    first = alternatives[:MAX_ALTERNATIVES]
    return ParsedText(
        [alternative for alternative in first if isinstance(alternative, Alternative)],
        [name for name in first if isinstance(name, NeuronName)],
        notes,
    )


def _read_alternatives(text: str) -> Iterator[Alternative | NeuronName]:
    position = 0
    while position <= len(text):
        quoted = _QUOTED.match(text, position)
        if quoted and quoted[1]:
            yield Alternative("exact", quoted[1].replace('""', '"'))
        match = quoted if quoted and quoted[1] else _PLAIN.match(text, position)
        assert match is not None, "_PLAIN matches everywhere"
        if match is not quoted and (word := match[0].strip()):
            yield _read_plain(word)
        position = match.end() + 1


def _read_plain(word: str) -> Alternative | NeuronName:
    if neuron := NeuronName.read(word):
        return neuron
    stem = word.removesuffix("*").rstrip()
    if stem and stem != word and "*" not in stem:
        return Alternative("prefix", stem)
    return Alternative("word", word)
