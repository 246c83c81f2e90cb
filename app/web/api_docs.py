"""The API's reference at /docs, made from OpenAPI and served without any other host's scripts."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import page

router = APIRouter(include_in_schema=False)


@router.get(urls.DOCS)
def reference(request: Request) -> Response:
    """Every operation with its parameters, answers and an example call."""
    return page(request, "docs.html", {"schema": request.app.openapi()})
