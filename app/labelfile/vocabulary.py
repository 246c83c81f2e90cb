"""A tokenizer's entries in memory: by id, by word, by prefix, by exact text, and how it splits a text.

Kept in memory because every answer spells out token ids, and a search without a join keeps up with typing. About 10 MB
for 128 thousand entries. Independent of neurons.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cached_property
from itertools import islice

from tokenizers import Tokenizer

from neuronym.contract import Kind, Token, VocabularyToken
from neuronym.label_tables import fold

KEPT_TOKENS = 10_000  # made, of one vocabulary: half a kilobyte each, and each is looked at in search of garbage
_LAST = "\U0010ffff"  # sorts after every character a prefix can go on with
_NOWHERE = -1  # the place of an id that the vocabulary lacks


class VocabularyIndex:
    """The entries of one tokenizer, found by id, word, prefix or text; ids may have gaps."""

    def __init__(self, hash_: str, entries: Iterable[tuple[int, str, str, Kind]], serialised: str) -> None:
        """`entries` are (id, text, folded, kind) in order of their place; `serialised` is the tokenizer.json."""
        self.hash = hash_
        ids, texts, words, kinds = zip(*entries, strict=True)
        self._ids, self._texts, self._kinds = array("i", ids), texts, kinds
        self._words = tuple(text if word == text else word for text, word in zip(texts, words, strict=True))
        self._places = array("i", [_NOWHERE]) * (max(ids) + 1)
        for place, id_ in enumerate(ids):
            self._places[id_] = place
        self._tokens: dict[int, Token] = {}
        self._serialised = serialised

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_str(self._serialised)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def highest(self) -> int:
        """The highest id of the vocabulary."""
        return len(self._places) - 1

    def place(self, id_: int) -> int | None:
        """The place of the entry `id_` in alphabetical order, the order of search rows; None if there is none."""
        place = self._places[id_] if 0 <= id_ < len(self._places) else _NOWHERE
        return None if place == _NOWHERE else place

    def places(self, ids: Iterable[int]) -> list[int]:
        """The places of entries in alphabetical order, in order; unknown ids are left out."""
        return sorted(place for id_ in ids if (place := self.place(id_)) is not None)

    def word(self, text: str) -> list[int]:
        """Ids of the entries that equal the word `text`, ignoring case and surrounding white space."""
        word = fold(text)
        return sorted(self._ids[bisect_left(self._words, word) : bisect_right(self._words, word)])

    def prefix(self, text: str) -> list[int]:
        """Ids of the entries that begin with `text`, ignoring case and outer white space, in alphabetical order."""
        word = fold(text)
        return list(self._ids[bisect_left(self._words, word) : bisect_right(self._words, word + _LAST)])

    def exact(self, text: str) -> list[int]:
        """Ids of the entries that equal `text`, character by character."""
        return sorted(id_ for id_, entry in zip(self._ids, self._texts, strict=True) if entry == text)

    def pieces(self, text: str) -> list[int]:
        """Ids the tokenizer splits `text` into, without the special tokens it would add; each once, in order."""
        return list(dict.fromkeys(self._tokenizer.encode(text, add_special_tokens=False).ids))

    def token(self, id_: int) -> Token:
        """The entry `id_`; its text is empty if the vocabulary has no such id."""
        known = self._tokens.get(id_)  # a page spells the same tokens again and again
        if known is None:
            place = self.place(id_)
            known = self._tokens[id_] = Token(token_id=id_, text="" if place is None else self._texts[place])
            if len(self._tokens) > KEPT_TOKENS:
                self._tokens.clear()
        return known

    def describe(self, ids: Iterable[int], limit: int | None = None) -> list[VocabularyToken]:
        """The entries of `ids` with their kind and vocabulary, `limit` at most; unknown ids are left out."""
        known = ((id_, place) for id_ in ids if (place := self.place(id_)) is not None)
        return [
            VocabularyToken(token_id=id_, text=self._texts[place], kind=self._kinds[place], tokenizer=self.hash)
            for id_, place in islice(known, limit)
        ]
