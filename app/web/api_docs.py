"""The API's reference at /docs: the OpenAPI document as a page that loads no scripts from other hosts."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class DocsPage(Page):
    """The fields of the reference page; `schema` is the OpenAPI document."""

    template = "docs.html"
    schema: dict[str, Any]


@router.get(urls.DOCS)
def reference(request: Request) -> Response:
    """Every operation with its parameters, answers and an example call."""
    return page(request, DocsPage(schema=request.app.openapi()))
