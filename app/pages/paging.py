"""What pages of results have in common: links to the pages before and after, and how such a page is answered."""

from typing import NamedTuple, Protocol

from fastapi import Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.queries.params import Question


class Paged(Protocol):
    """An answer of which a page is shown."""

    total: int
    limit: int
    offset: int


class Turns(NamedTuple):
    """The addresses of the pages of results before and after, where there are any."""

    back: str | None
    on: str | None


def turns(path: str, query: Question, answer: Paged) -> Turns:
    """Where the results of a question go on, and where they come from."""
    before, after = answer.offset - answer.limit, answer.offset + answer.limit
    back = urls.asked(path, query, offset=max(before, 0) or None) if answer.offset else None
    return Turns(back, urls.asked(path, query, offset=after) if after < answer.total else None)


def list_page(request: Request, context: Page, path: str, query: Question) -> Response:
    """The page of a question, or its results alone for htmx, with the question's address for the browser to show."""
    here = urls.asked(path, query)
    return page(request, context, block="results", twin=urls.twin(here), headers={"HX-Replace-Url": here})
