"""Vocabulary entries: which match a text, and which neurons name one."""

from typing import Annotated

from pydantic import Field

from app.catalog import LabelFile
from app.contract import TokenAnswer, TokensAnswer
from app.queries.question import Limit, Question
from app.queries.search import MAX_QUERY


class TokensQuery(Question):
    """A text in the language of the search box; `tokenizer` narrows to one vocabulary."""

    q: Annotated[str, Field(max_length=MAX_QUERY)] = ""
    tokenizer: str | None = None
    limit: Limit = 50


def tokens(labels: LabelFile, query: TokensQuery) -> TokensAnswer:
    """Tokens that match, or the pieces a text is split into."""
    raise NotImplementedError


def token(labels: LabelFile, tokenizer: str, token_id: int) -> TokenAnswer:
    """A token and the neurons that name it, grouped by model, view, lens and side; NotFound names what is there."""
    raise NotImplementedError
