"""Find the tokens of vocabularies that match the texts of a search, or the pieces such a text is split into.

This works in memory on `app.labelfile.vocabulary`; it knows no neuron and no table.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.errors import clip
from app.labelfile.vocabulary import VocabularyIndex
from app.queries.search.language import Alternative
from neuronym.contract import VocabularyToken

MAX_PREFIX = 200
MAX_PIECES = 64

_LOOKUPS: dict[str, Callable[[VocabularyIndex, str], list[int]]] = {
    "word": VocabularyIndex.word,
    "exact": VocabularyIndex.exact,
    "prefix": VocabularyIndex.prefix,
}


@dataclass
class TokenMatches:
    """Token ids by the hash of their vocabulary, each id once; `notes` say what was cut short or not found."""

    tokens: dict[str, list[int]] = field(default_factory=dict)
    pieces: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_tokens(
    alternatives: list[Alternative], vocabularies: dict[str, VocabularyIndex], most: int | None = MAX_PREFIX
) -> TokenMatches:
    """Look every alternative up in every vocabulary; an alternative that none of them has is split into pieces.

    Where an alternative is a prefix, only the first `most` tokens of each vocabulary are kept; None keeps all.
    """
    matches = TokenMatches()
    for alternative in alternatives:
        ids = {
            hash_: _LOOKUPS[alternative.kind](vocabulary, alternative.text)
            for hash_, vocabulary in vocabularies.items()
        }
        if any(ids.values()):
            _add_ids(matches.tokens, ids)
        elif alternative.kind == "prefix":
            matches.notes.append(f"No token begins with “{clip(alternative.text)}”.")
        else:
            _add_ids(
                matches.pieces,
                {hash_: vocabulary.pieces(alternative.text) for hash_, vocabulary in vocabularies.items()},
            )
            matches.notes.append(f"“{clip(alternative.text)}” is no single token; search for one of its pieces.")
    prefixed = any(alternative.kind == "prefix" for alternative in alternatives)
    _cut_ids(matches.tokens, most if prefixed else None, "tokens that match were looked up", matches.notes)
    _cut_ids(matches.pieces, MAX_PIECES, "pieces are listed", matches.notes)
    return matches


def describe_tokens(ids: dict[str, list[int]], vocabularies: dict[str, VocabularyIndex]) -> list[VocabularyToken]:
    """The tokens with these ids as they stand in an answer."""
    return [entry for hash_, token_ids in ids.items() for entry in vocabularies[hash_].describe(token_ids)]


def _add_ids(ids: dict[str, list[int]], more: dict[str, list[int]]) -> None:
    for hash_, new_ids in more.items():
        ids[hash_] = list(dict.fromkeys(ids.get(hash_, []) + new_ids))


def _cut_ids(ids: dict[str, list[int]], limit: int | None, what: str, notes: list[str]) -> None:
    longest = max((len(token_ids) for token_ids in ids.values()), default=0)
    if limit is None or longest <= limit:
        return
    for token_ids in ids.values():
        del token_ids[limit:]
    notes.append(f"Only the first {limit} of {longest} {what}.")
