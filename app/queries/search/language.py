"""The language of the search box: what a text asks for, before any vocabulary is looked at.

`California` a word, whatever its case and the white space around it; `" California"` exactly this text (`""` inside is
one quote); `cali*` a prefix; `dog, puppy` either; `L22N57` a neuron. Everything else is text. No text is ever a syntax
error.
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
    """One thing asked for; `text` is without its quotes or star."""

    kind: Literal["word", "exact", "prefix"]
    text: str


@dataclass(frozen=True)
class Parsed:
    """What a text asks for; `notes` are sentences for the one who asked."""

    alternatives: list[Alternative]
    neurons: list[NeuronName]
    notes: list[str]


def parse(text: str) -> Parsed:
    """Read a text; each alternative once, in order."""
    found = list(dict.fromkeys(_alternatives(text)))
    notes = []
    if not found:
        notes.append("Type a word, for example California, or the name of a neuron, for example L22N57.")
    if len(found) > MAX_ALTERNATIVES:
        notes.append(f"Only the first {MAX_ALTERNATIVES} of {len(found)} alternatives were looked up.")
    asked = found[:MAX_ALTERNATIVES]
    return Parsed(
        [one for one in asked if isinstance(one, Alternative)],
        [one for one in asked if isinstance(one, NeuronName)],
        notes,
    )


def _alternatives(text: str) -> Iterator[Alternative | NeuronName]:
    place = 0
    while place <= len(text):
        quoted = _QUOTED.match(text, place)
        if quoted and quoted[1]:
            yield Alternative("exact", quoted[1].replace('""', '"'))
        match = quoted if quoted and quoted[1] else _PLAIN.match(text, place)
        assert match is not None, "_PLAIN matches everywhere"
        if match is not quoted and (word := match[0].strip()):
            yield _plain(word)
        place = match.end() + 1


def _plain(word: str) -> Alternative | NeuronName:
    if neuron := NeuronName.read(word):
        return neuron
    stem = word.removesuffix("*").rstrip()
    if stem and stem != word and "*" not in stem:
        return Alternative("prefix", stem)
    return Alternative("word", word)
