"""The parts of all answers: tokens, the id of the library's state, and the shape of an error."""

from typing import Literal

from pydantic import BaseModel

from neuronym.contract.words import Kind


class Token(BaseModel):
    """A vocabulary entry."""

    token_id: int
    text: str


class ScoredToken(Token):
    """A token of a label with its score under the label's lens."""

    score: float


class VocabularyToken(Token):
    """A token with the vocabulary it belongs to: ids alone mean nothing across tokenizers."""

    tokenizer: str
    kind: Kind


class Answer(BaseModel):
    """Every answer names the state of the library it was read from; `run` is also its ETag."""

    run: str


class ErrorAnswer(BaseModel):
    """The one error shape, for every status."""

    ok: Literal[False] = False
    error: str
    errors: list[str]
    status: int
