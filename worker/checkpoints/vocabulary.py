"""A tokenizer's entries as text that people read and search, with each entry's kind and a hash of the whole.

Knows no model, and leaves it to `spelling` how a kind of tokenizer writes its tokens.
"""

import hashlib
import json
from dataclasses import dataclass

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from neuronym.contract import Kind
from neuronym.label_tables import fold
from worker.checkpoints.spelling import Spelling
from worker.errors import CheckpointError, first_line

LARGEST_ID = 2**24  # the largest vocabularies have 2**19 entries


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
    """Read the entries of a fast tokenizer as text.

    Raises:
        CheckpointError: an id is beyond all that models have; to write such a tokenizer down takes gigabytes.
    """
    tokens = sorted((id_, token) for token, id_ in tokenizer.get_vocab().items())
    if tokens and tokens[-1][0] >= LARGEST_ID:
        id_, token = tokens[-1]
        raise CheckpointError(f"The tokenizer is damaged: its token {token!r} has the id {id_}. Download it again.")
    serialised = tokenizer.backend_tokenizer.to_str()
    spelling = Spelling(tokenizer.backend_tokenizer, serialised)
    added = tokenizer.added_tokens_decoder
    special = {id_ for id_, token in added.items() if token.special}
    entries = [
        Entry(id_, token, fold(token), Kind.special)
        if id_ in special
        else _entry(id_, spelling.read_added(token) if id_ in added else spelling.read(token))
        for id_, token in tokens
    ]
    identity = hashlib.sha256(json.dumps(tokens, ensure_ascii=False).encode()).hexdigest()[:16]
    return Vocabulary(entries, identity, serialised)


def parse_vocabulary(tokenizer_json: str) -> Vocabulary:
    """Read the entries of a tokenizer.json, such as `Vocabulary.json` is.

    Raises:
        CheckpointError: the tokenizers library cannot read it, or an id is beyond all that models have.
    """
    try:
        tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
            tokenizer_object=Tokenizer.from_str(tokenizer_json)
        )
        return read_vocabulary(tokenizer)
    except (KeyboardInterrupt, SystemExit, CheckpointError):
        raise
    except BaseException as error:  # the tokenizers library raises bare Exceptions, and panics as a BaseException
        raise CheckpointError(f"The tokenizer cannot be read ({first_line(error)[:200]}).") from error


def _entry(id_: int, token_bytes: bytes) -> Entry:
    try:
        text = token_bytes.decode()
    except UnicodeDecodeError:
        text = "".join(f"<0x{byte:02X}>" for byte in token_bytes)
        return Entry(id_, text, fold(text), Kind.bytes)
    starts_word = text.startswith(" ") and bool(text.strip())
    return Entry(id_, text, fold(text), Kind.word if starts_word else Kind.continuation)
