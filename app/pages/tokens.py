"""The pages of tokens: those that match a text, and a single token."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.labelfile.catalog import Labels
from app.pages.neuron_names import LENSES
from app.pages.paging import list_page
from app.pages.strength import Meanings, meanings_by_model
from app.queries.tokens import TokensQuery, token, tokens
from neuronym.contract import Lens, TokenAnswer, TokenGroup, TokensAnswer

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class TokensPage(Page):
    """The tokens that match a text."""

    template = "tokens.html"
    answer: TokensAnswer
    query: TokensQuery


@dataclass(frozen=True, kw_only=True)
class TokenPage(Page):
    """A token with the neurons that name it, by lens; `several` says whether more than one model is mapped."""

    template = "token.html"
    answer: TokenAnswer
    lenses: dict[Lens, list[TokenGroup]]
    several: bool
    meanings: dict[str, Meanings]


@router.get(urls.TOKENS)
def tokens_page(request: Request, labels: Labels, query: Annotated[TokensQuery, Query()]) -> Response:
    """Tokens that match a text, or the tokens that the text is made of."""
    answer = tokens(labels, query)
    return list_page(request, TokensPage(run=answer.run, answer=answer, query=query), urls.TOKENS, query)


@router.get("/tokens/{tokenizer}/{token_id}")
def token_page(request: Request, labels: Labels, tokenizer: str, token_id: int) -> Response:
    """A token, and every neuron that names it."""
    answer = token(labels, tokenizer, token_id)
    context = TokenPage(
        run=answer.run,
        answer=answer,
        lenses={lens: [group for group in answer.groups if group.lens == lens] for lens in LENSES},
        several=len(labels.models) > 1,
        meanings=meanings_by_model(labels),
    )
    return page(request, context, twin=urls.twin(urls.token(tokenizer, token_id)))
