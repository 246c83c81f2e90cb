"""A tokenizer's entries as text that people read and search, with each entry's kind and a hash of the whole.

Knows how byte-level and SentencePiece tokenizers spell a leading space and a lone byte. Knows no model.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from neuronym.contract import Kind
from neuronym.label_tables import fold

_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")  # SentencePiece's byte fallback
_SPACE = "\u2581"  # SentencePiece's leading space


@dataclass(frozen=True)
class Entry:
    """One vocabulary entry; `folded` is the text that searches compare."""

    id: int
    text: str
    folded: str
    kind: Kind


@dataclass(frozen=True)
class Vocabulary:
    """All entries in order of id. `hash` covers the list of ids and tokens, not templates and flags."""

    entries: list[Entry]
    hash: str
    json: str

    @property
    def ids(self) -> list[int]:
        return [entry.id for entry in self.entries]


def read_vocabulary(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """Read the entries of a fast tokenizer as text."""
    serialised = tokenizer.backend_tokenizer.to_str()
    to_bytes = _bytes_function(serialised)
    tokens = sorted((id_, token) for token, id_ in tokenizer.get_vocab().items())
    added = tokenizer.added_tokens_decoder
    special = {id_ for id_, token in added.items() if token.special}
    entries = [
        Entry(id_, token, fold(token), Kind.special)
        if id_ in special
        else _entry(id_, token.encode() if id_ in added else to_bytes(token))
        for id_, token in tokens
    ]
    identity = hashlib.sha256(json.dumps(tokens, ensure_ascii=False).encode()).hexdigest()[:16]
    return Vocabulary(entries, identity, serialised)


def _entry(id_: int, token_bytes: bytes) -> Entry:
    try:
        text = token_bytes.decode()
    except UnicodeDecodeError:
        text = "".join(f"<0x{byte:02X}>" for byte in token_bytes)
        return Entry(id_, text, fold(text), Kind.bytes)
    starts_word = text.startswith(" ") and bool(text.strip())
    return Entry(id_, text, fold(text), Kind.word if starts_word else Kind.continuation)


def _bytes_function(serialised: str) -> Callable[[str], bytes]:
    """The function that gives a token's bytes: of byte-level letters, or of SentencePiece's marks and byte fallback."""
    return _byte_level if '"ByteLevel"' in json.dumps(json.loads(serialised).get("decoder")) else _sentence_piece


_LETTER_TO_BYTE = {letter: byte for byte, letter in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]


def _byte_level(token: str) -> bytes:
    if all(letter in _LETTER_TO_BYTE for letter in token):
        return bytes(_LETTER_TO_BYTE[letter] for letter in token)
    return token.encode()  # an entry that was never byte-level


def _sentence_piece(token: str) -> bytes:
    byte = _BYTE.match(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE, " ").encode()
