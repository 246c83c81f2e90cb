"""Conversion of text to token ids and back, as one model reads and writes it.

A special token is special only where the tokenizer or the chat template puts it: in a user's text it is plain text.
Generated text is never encoded again. Knows the tokenizer; knows no model.
"""

import re
from collections.abc import Callable, Sequence
from threading import Lock
from typing import cast

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from neuronym.contract import Message, Token
from worker.checkpoints.vocabulary import read_vocabulary
from worker.errors import RequestError

_ANSWER = "an answer"
_UNFINISHED = "�"  # how a tokenizer spells bytes of an incomplete character


class Codec:
    """One model's tokenizer, safe to use from several threads."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._lock = Lock()  # whether special tokens are parsed is state of the tokenizer
        entries = read_vocabulary(tokenizer).entries
        self._texts = {entry.id: entry.text for entry in entries}
        self._ids = {entry.text: entry.id for entry in reversed(entries)}  # of equal texts, the lower id

    @property
    def eos(self) -> int | None:
        """The id of the token that ends a text, by the tokenizer."""
        eos: int | None = self._tokenizer.eos_token_id
        return eos

    def turn_end(self) -> int | None:
        """Find the special token that the chat template writes after an answer, if there is one."""
        if not self._tokenizer.chat_template:
            return None
        answered = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _ANSWER}]
        try:
            _, _, after = str(self._tokenizer.apply_chat_template(answered, tokenize=False)).rpartition(_ANSWER)
        except (TemplateError, ValueError):
            return None
        special = [re.escape(token.content) for token in self._tokenizer.added_tokens_decoder.values() if token.special]
        end = re.search("|".join(sorted(special, key=len, reverse=True)), after) if special else None
        return self._ids.get(end[0]) if end else None

    def prompt(self, text: str) -> list[int]:
        """Encode a plain prompt, with the tokens that the tokenizer puts around a text, most often one BOS.

        Raises:
            RequestError: the prompt has no tokens, and the tokenizer has no BOS.
        """
        with self._lock:
            ids: list[int] = self._tokenizer.encode(text, split_special_tokens=True)
        bos = self._tokenizer.bos_token_id
        if not ids and bos is not None:
            ids = [bos]
        if not ids:
            raise RequestError("prompt: it is empty, and this model has no token to begin a text with.")
        return ids

    def chat(self, messages: Sequence[Message]) -> list[int]:
        """Encode a chat up to where the assistant answers, as the chat template writes it.

        Raises:
            RequestError: there is no template, or the template refuses these messages.
        """
        if not self._tokenizer.chat_template:
            raise RequestError("messages: this model has no chat template. Give a `prompt` instead.")
        turns = [message.model_dump() for message in messages]
        try:
            with self._lock:
                ids = self._tokenizer.apply_chat_template(
                    turns, add_generation_prompt=True, sanitize_control_tokens=True, return_dict=False
                )
        except (TemplateError, ValueError) as error:
            raise RequestError(f"messages: the chat template refuses them: {error}") from error
        return cast(list[int], ids)

    def text(self, token_id: int) -> str:
        """Spell a token; the text is empty for rows of the head that no token belongs to."""
        return self._texts.get(token_id, "")

    def find(self, token: int | str) -> int:
        """Find the id of a token by its id, by its exact text, or by a text of which it is the first token.

        Raises:
            RequestError: there is no such token.
        """
        known = token if isinstance(token, int) else self._ids.get(token)
        if known is None:
            known = next(iter(self.plain(str(token))), None)
        if known not in self._texts:
            raise RequestError(f"watch: there is no token {token!r}. Give a token's text, or an id below {self._end}.")
        return known

    def stream(self, context: Sequence[int] = ()) -> "TextStream":
        """Start a text that goes on after `context`."""
        return TextStream(self._decode, context)

    def pieces(self, ids: Sequence[int]) -> list[Token]:
        """Spell each id as the text it adds."""
        stream = self.stream()
        return [Token(token_id=token_id, text=stream.add(token_id)) for token_id in ids]

    @property
    def _end(self) -> int:
        return max(self._texts) + 1

    def plain(self, text: str) -> list[int]:
        """Encode a text without adding tokens around it."""
        with self._lock:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    def _decode(self, ids: Sequence[int]) -> str:
        with self._lock:
            text = self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text)


class TextStream:
    """The text that tokens add one after another; half a character is held back until its last byte comes."""

    def __init__(self, decode: Callable[[Sequence[int]], str], context: Sequence[int]) -> None:
        self._decode = decode
        self._shown = list(context[-4:])  # what comes before decides how a token is spelled: with a space or without
        self._held: list[int] = []

    def add(self, token_id: int) -> str:
        """Add a token; return the new text, empty while a character is incomplete."""
        self._held.append(token_id)
        text = self._decode(self._shown + self._held)
        if text.endswith(_UNFINISHED):
            return ""
        new = text[len(self._decode(self._shown)) :]
        self._shown, self._held = self._held, []
        return new
