"""What all pages of results share: links to the previous and next page, and a response of the page or its results."""

from typing import NamedTuple, Protocol

from fastapi import Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.queries.params import Question


class Paged(Protocol):
    """An answer that holds one page of its results."""

    total: int
    limit: int
    offset: int


class PageLinks(NamedTuple):
    """The addresses of the previous (`back`) and next (`on`) page of results; None at either end."""

    back: str | None
    on: str | None


def page_links(path: str, query: Question, answer: Paged) -> PageLinks:
    """The links to the previous and next page of the results of a question."""
    before, after = answer.offset - answer.limit, answer.offset + answer.limit
    back = urls.question_address(path, query, offset=max(before, 0) or None) if answer.offset else None
    return PageLinks(back, urls.question_address(path, query, offset=after) if after < answer.total else None)


def list_page(request: Request, context: Page, path: str, query: Question) -> Response:
    """Respond with a question's page, or its results alone to htmx; the header gives the browser its address."""
    address = urls.question_address(path, query)
    return page(request, context, block="results", twin=urls.twin(address), headers={"HX-Replace-Url": address})
