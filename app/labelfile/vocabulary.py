"""A tokenizer's entries in memory: by id, by word, by prefix, by exact text, and how it splits a text.

Kept in memory because every answer spells out token ids, and a search without a join keeps up with typing. About 10 MB
for 128 thousand entries. Independent of neurons.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cached_property
from itertools import islice

from tokenizers import Tokenizer

from neuronym.contract import Kind, Token, VocabularyToken
from neuronym.label_tables import fold

KEPT_TOKENS = 30_000  # made, of one vocabulary: half a kilobyte each
_LAST = "\U0010ffff"  # sorts after every character a prefix can go on with


class VocabularyIndex:
    """The entries of one tokenizer, found by id, word, prefix or text; ids may have gaps."""

    def __init__(self, hash_: str, entries: Iterable[tuple[int, str, str, Kind]], serialised: str) -> None:
        """`entries` are (id, text, folded, kind); `serialised` is the tokenizer.json."""
        self.hash = hash_
        self._texts: dict[int, str] = {}
        self._kinds: dict[int, Kind] = {}
        self._tokens: dict[int, Token] = {}
        folded: list[tuple[str, int]] = []
        for id_, text, word, kind in entries:
            self._texts[id_] = text
            self._kinds[id_] = kind
            folded.append((word, id_))
        folded.sort()
        self._words = [word for word, _ in folded]
        self._ids = [id_ for _, id_ in folded]
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
        return max(self._texts)

    def word(self, text: str) -> list[int]:
        """Ids of the entries that equal the word `text`, ignoring case and surrounding white space."""
        word = fold(text)
        return sorted(self._ids[bisect_left(self._words, word) : bisect_right(self._words, word)])

    def prefix(self, text: str) -> list[int]:
        """Ids of the entries that begin with `text`, ignoring case and outer white space, in alphabetical order."""
        word = fold(text)
        return self._ids[bisect_left(self._words, word) : bisect_right(self._words, word + _LAST)]

    def exact(self, text: str) -> list[int]:
        """Ids of the entries that equal `text`, character by character."""
        return [id_ for id_, entry in self._texts.items() if entry == text]

    def pieces(self, text: str) -> list[int]:
        """Ids the tokenizer splits `text` into, without the special tokens it would add; each once, in order."""
        return list(dict.fromkeys(self._tokenizer.encode(text, add_special_tokens=False).ids))

    def token(self, id_: int) -> Token:
        """The entry `id_`; its text is empty if the vocabulary has no such id."""
        known = self._tokens.get(id_)  # a page spells the same tokens again and again
        if known is None:
            known = self._tokens[id_] = Token(token_id=id_, text=self._texts.get(id_, ""))
            if len(self._tokens) > KEPT_TOKENS:
                self._tokens.clear()
        return known

    def describe(self, ids: Iterable[int], limit: int | None = None) -> list[VocabularyToken]:
        """The entries of `ids` with their kind and vocabulary, `limit` at most; unknown ids are left out."""
        known = (id_ for id_ in ids if id_ in self._texts)
        return [
            VocabularyToken(token_id=id_, text=self._texts[id_], kind=self._kinds[id_], tokenizer=self.hash)
            for id_ in islice(known, limit)
        ]
