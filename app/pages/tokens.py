"""The pages of tokens: those that match a text, and one of them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import page
from app.labelfile.catalog import Labels
from app.pages.neuron_names import LENSES
from app.pages.strength import meanings_of
from app.queries.tokens import TokensQuery, token, tokens

router = APIRouter(include_in_schema=False)


@router.get(urls.TOKENS)
def tokens_page(request: Request, labels: Labels, query: Annotated[TokensQuery, Query()]) -> Response:
    """Tokens that match a text, or the pieces it is read in."""
    answer = tokens(labels, query)
    here = urls.asked(urls.TOKENS, query)
    context = {"run": answer.run, "answer": answer, "query": query}
    response = page(request, "tokens.html", context, block="results", twin=urls.twin(here))
    response.headers["HX-Replace-Url"] = here
    return response


@router.get("/tokens/{tokenizer}/{token_id}")
def token_page(request: Request, labels: Labels, tokenizer: str, token_id: int) -> Response:
    """A token, and every neuron that names it."""
    answer = token(labels, tokenizer, token_id)
    context = {
        "run": answer.run,
        "answer": answer,
        "lenses": {lens: [group for group in answer.groups if group.lens == lens] for lens in LENSES},
        "several": len(labels.models) > 1,
        "meanings": meanings_of(labels),
    }
    return page(request, "token.html", context, twin=urls.twin(urls.token(tokenizer, token_id)))
