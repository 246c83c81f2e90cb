"""What is being mapped beside the app, for pages that look it up while they are read."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.html import urls
from app.html.templates import Fragment, fragment
from app.labelfile.catalog import served_library
from app.labelfile.library import NoLabelFile
from app.labelfile.mapping_status import Mapping, mapping_of

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class MappingNotice(Fragment):
    """What is being mapped; `moved` says that the library has more than the page that asks, `said` that it was told."""

    template = "_mapping.html"
    mapping: Mapping | None
    seen: str
    moved: bool
    said: bool


@router.get(urls.MAPPING)
def mapping_notice(request: Request, seen: str = "", said: bool = False) -> Response:
    """How far the mapping is. A page that has seen nothing of the library is loaded again once there is something.

    Args:
        seen: the state of the library that the page shows; NOTHING where it waits for the first, else empty.
    """
    run = _current_run(request)
    if seen == urls.NOTHING and run:
        return Response(headers={"HX-Refresh": "true"})
    moved = bool(run) and seen not in ("", urls.NOTHING, run)
    context = MappingNotice(mapping=mapping_of(request), seen=seen, moved=moved, said=said)
    return HTMLResponse(fragment(context), headers={"Cache-Control": "no-store"})


def _current_run(request: Request) -> str:
    """The id of the library's state; empty where there is none."""
    try:
        return served_library(request).run
    except NoLabelFile:
        return ""
