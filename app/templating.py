"""The Jinja environment of the HTML pages and of the error page."""

from starlette.templating import Jinja2Templates

from app.settings import ROOT

templates = Jinja2Templates(directory=ROOT / "frontend" / "templates")
