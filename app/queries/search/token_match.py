"""From what was asked to entries of vocabularies: the tokens that match, or the pieces a text is split into.

Works in memory on `app.labelfile.vocabulary`; it knows no neuron and no table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.errors import clip
from app.labelfile.vocabulary import Vocabulary
from app.queries.search.language import Alternative
from neuronym.contract import VocabularyToken

MAX_PREFIX = 200
MAX_PIECES = 64

_LOOK_UP: dict[str, Callable[[Vocabulary, str], list[int]]] = {
    "word": Vocabulary.word,
    "exact": Vocabulary.exact,
    "prefix": Vocabulary.prefix,
}


@dataclass
class Matching:
    """Ids by the hash of their vocabulary, each once; `notes` say what was cut short or not found."""

    tokens: dict[str, list[int]] = field(default_factory=dict)
    pieces: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def match(
    alternatives: list[Alternative], vocabularies: dict[str, Vocabulary], most: int | None = MAX_PREFIX
) -> Matching:
    """Look every alternative up in every vocabulary; one that none of them has is split into pieces.

    `most` tokens are looked up where a prefix is asked for; None is all of them.
    """
    found = Matching()
    for one in alternatives:
        matches = {hash_: _LOOK_UP[one.kind](known, one.text) for hash_, known in vocabularies.items()}
        if any(matches.values()):
            _add(found.tokens, matches)
        elif one.kind == "prefix":
            found.notes.append(f"No token begins with “{clip(one.text)}”.")
        else:
            _add(found.pieces, {hash_: known.pieces(one.text) for hash_, known in vocabularies.items()})
            found.notes.append(f"“{clip(one.text)}” is no single token; search for one of its pieces.")
    prefixed = any(one.kind == "prefix" for one in alternatives)
    _cut(found.tokens, most if prefixed else None, "tokens that match were looked up", found.notes)
    _cut(found.pieces, MAX_PIECES, "pieces are listed", found.notes)
    return found


def spelled(ids: dict[str, list[int]], vocabularies: dict[str, Vocabulary]) -> list[VocabularyToken]:
    """Ids as they are answered."""
    return [entry for hash_, found in ids.items() for entry in vocabularies[hash_].describe(found)]


def _add(ids: dict[str, list[int]], more: dict[str, list[int]]) -> None:
    for hash_, found in more.items():
        ids[hash_] = list(dict.fromkeys(ids.get(hash_, []) + found))


def _cut(ids: dict[str, list[int]], limit: int | None, what: str, notes: list[str]) -> None:
    most = max((len(found) for found in ids.values()), default=0)
    if limit is None or most <= limit:
        return
    for found in ids.values():
        del found[limit:]
    notes.append(f"Only the first {limit} of {most} {what}.")
