"""The page that explains how neurons get their names."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.html import urls
from app.html.templates import Page, page
from app.labelfile.catalog import served_library
from app.labelfile.library import NoLabelFile
from app.pages.strength import rules
from neuronym.contract import ControlMeasurement

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class MethodPage(Page):
    """How neurons get their names; `rules` are those of `strength.rules`."""

    template = "method.html"
    rules: dict[str, tuple[ControlMeasurement, list[str]]]


@router.get(urls.METHOD)
def method_page(request: Request) -> Response:
    """Explain how neurons get their names, with the strength rules of the models if there are any."""
    try:
        labels = served_library(request)
    except NoLabelFile:
        return page(request, MethodPage(rules={}))
    return page(request, MethodPage(run=labels.run, rules=rules(labels)))
