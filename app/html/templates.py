"""The Jinja environment of the HTML pages and of the error page, and the response to a request for a page or a block.

Knows the templates' filters and globals; knows no question and no route.

"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import ClassVar

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2.environment import TemplateModule
from starlette.templating import Jinja2Templates

from app import __version__
from app.html import text, urls
from app.labelfile.mapping_status import mapping_of
from neuronym.label_tables import outcome
from neuronym.settings import ROOT

VARY = "HX-Request-Type"
REPEATED = ("token", "view", "unmeasured", "icon")  # macros that write texts and numbers only, no objects
REMEMBERED = 8_192  # answers of each of them; a token's is some 200 bytes


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "frontend" / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for write in (
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
        environment.filters[write.__name__] = write
    environment.globals |= {"url": urls, "name_of": text.name, "outcome": outcome, "version": __version__}
    environment.globals["ui"] = _macros(environment)  # visible in every block
    return environment


def _macros(environment: jinja2.Environment) -> TemplateModule:
    """The macros of `_ui.html`; those of REPEATED remember what they wrote for which values."""
    macros = environment.get_template("_ui.html").module
    for name in REPEATED:
        setattr(macros, name, lru_cache(REMEMBERED, typed=True)(getattr(macros, name)))
    return macros


templates = Jinja2Templates(env=_environment())


def is_partial(request: Request) -> bool:
    """Whether htmx asks for one block rather than the whole page."""
    return request.headers.get(VARY) == "partial"


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """The variables of a template, or of one block of it, as dataclass fields."""

    template: ClassVar[str]
    block: ClassVar[str | None] = None

    def values(self) -> dict[str, object]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Page(Fragment):
    """The variables of a whole page; `run` is the id of the library's state that answered, if any."""

    run: str | None = None


def fragment(context: Fragment) -> str:
    """Render the template of `context`, or its one block."""
    return _render(context.template, context.block, context.values())


def page(
    request: Request,
    context: Page,
    *,
    block: str | None = None,
    twin: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Respond with the page, or with `block` alone to htmx. `twin` is the address of the same answer as JSON."""
    values = {"request": request, "twin": twin, "mapping": mapping_of(request), **context.values()}
    response_headers = {"Vary": VARY}
    if twin:
        response_headers["Link"] = f'<{twin}>; rel="alternate"; type="application/json"'
    response_headers |= headers or {}
    if block and is_partial(request):
        return HTMLResponse(_render(context.template, block, values), status, response_headers)
    return templates.TemplateResponse(request, context.template, values, status, response_headers)


def _render(template: str, block: str | None, values: dict[str, object]) -> str:
    source = templates.env.get_template(template)
    if block is None:
        return source.render(values)
    return "".join(source.blocks[block](source.new_context(values)))
