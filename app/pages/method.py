"""The page that says how neurons get their names."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import page
from app.labelfile.catalog import served
from app.labelfile.label_file import NoLabelFile
from app.pages.strength import rules

router = APIRouter(include_in_schema=False)


@router.get(urls.METHOD)
def method_page(request: Request) -> Response:
    """How neurons get their names, with the strength rule of the label file that is served, if there is one."""
    try:
        labels = served(request)
    except NoLabelFile:
        return page(request, "method.html", {"rules": {}})
    return page(request, "method.html", {"rules": rules(labels), "run": labels.run})
