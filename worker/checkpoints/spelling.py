"""How a tokenizer's tokens are read as text: by its own decoder, or by the alphabet of byte-level tokenizers.

A token is read as the text that it adds after a word, so that the texts of tokens in a row make up what they decode to.
Knows no vocabulary and no kinds of tokens.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer, decoders
from transformers.convert_slow_tokenizer import bytes_to_unicode

_BYTE = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")  # byte fallback
_WORD = "a"  # stands before a token, since decoders spell the first token of a text in their own way
_LETTER_TO_BYTE = {letter: byte for byte, letter in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]


class Spelling:
    """The way that a tokenizer spells its tokens. `serialised` is its tokenizer.json."""

    def __init__(self, tokenizer: Tokenizer, serialised: str) -> None:
        parts: dict[str, Any] = json.loads(serialised)
        model: dict[str, Any] = parts["model"]
        # A tokenizer without a decoder shows its alphabet in how it splits texts.
        self._byte_level = "ByteLevel" in _types(parts["decoder"] or parts["pre_tokenizer"])
        self._byte_fallback = bool(model.get("byte_fallback")) or "ByteFallback" in _types(parts["decoder"])
        self._decoder = tokenizer.decoder or _usual_decoder(model)
        # The end of a word is a space only where the text goes on.
        self._after = _WORD if model.get("end_of_word_suffix") else ""

    def read(self, token: str) -> bytes:
        """The bytes that a token stands for: text in UTF-8, or a piece of a character."""
        if self._byte_level:
            return _byte_level(token)
        byte = _BYTE.match(token) if self._byte_fallback else None
        return bytes([int(byte[1], 16)]) if byte else self._decode(token).encode()

    def read_added(self, token: str) -> bytes:
        """The bytes of a token that was added to the vocabulary: plain text beside byte-level tokens."""
        return token.encode() if self._byte_level else self.read(token)

    def _decode(self, token: str) -> str:
        if self._decoder is None:
            return f" {token}"  # texts are tokens with spaces between
        text = self._decoder.decode([_WORD, token, *self._after])
        return text.removeprefix(_WORD).removesuffix(self._after)


def _types(part: Any) -> Iterator[str]:
    """The types of a part of a tokenizer and of the parts in it."""
    if isinstance(part, dict):
        yield from [part["type"]] if isinstance(part.get("type"), str) else []
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _types(inner)


def _byte_level(token: str) -> bytes:
    if all(letter in _LETTER_TO_BYTE for letter in token):
        return bytes(_LETTER_TO_BYTE[letter] for letter in token)
    return token.encode()  # an entry that was never byte-level


def _usual_decoder(model: dict[str, Any]) -> decoders.Decoder | None:
    """The decoder that belongs to a model which marks where words go on or end, for a tokenizer that has none."""
    if suffix := model.get("end_of_word_suffix"):
        return decoders.BPEDecoder(suffix=suffix)
    if prefix := model.get("continuing_subword_prefix"):
        return decoders.WordPiece(prefix=prefix, cleanup=False)
    return None
