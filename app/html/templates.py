"""The Jinja environment of the HTML pages and of the error page, and how a page is answered: whole, or one block of it.

Knows the templates' filters and globals; knows no question and no route.
"""

from collections.abc import Mapping
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from starlette.templating import Jinja2Templates

from app import __version__
from app.html import text, urls
from neuronym.label_tables import outcome
from neuronym.settings import ROOT

VARY = "HX-Request-Type"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "frontend" / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for shown in (
        text.number,
        text.count,
        text.percent,
        text.probability,
        text.plural,
        text.ordinal,
        text.plain,
        text.pieces,
        text.flowing,
    ):
        environment.filters[shown.__name__] = shown
    environment.globals |= {"url": urls, "name_of": text.name, "outcome": outcome, "version": __version__, "twin": None}
    environment.globals["ui"] = environment.get_template("_ui.html").module  # macros, visible in every block
    return environment


templates = Jinja2Templates(env=_environment())


def is_partial(request: Request) -> bool:
    """Whether htmx asks for one block rather than the page."""
    return request.headers.get(VARY) == "partial"


def fragment(template: str, context: Mapping[str, Any], block: str | None = None) -> str:
    """A partial template, or one block of a template."""
    source = templates.env.get_template(template)
    if block is None:
        return source.render(context)
    return "".join(source.blocks[block](source.new_context(dict(context))))


def page(
    request: Request,
    template: str,
    context: Mapping[str, Any],
    *,
    block: str | None = None,
    twin: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """The page, or only `block` of it for htmx. `twin` is the address of the same answer as JSON."""
    values = {"request": request, "twin": twin, **context}
    sent = {"Vary": VARY, **(headers or {})}
    if twin:
        sent["Link"] = f'<{twin}>; rel="alternate"; type="application/json"'
    if block and is_partial(request):
        return HTMLResponse(fragment(template, values, block), status, sent)
    return templates.TemplateResponse(request, template, values, status, sent)
