"""Serves the files a browser loads, the app's own and the two of htmx, with headers that say how long to cache them."""

import os
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from neuronym.settings import ROOT

STATIC = ROOT / "frontend" / "static"
HTMX = ROOT / "frontend" / "node_modules" / "htmx.org" / "dist"
HTMX_FILES = ("htmx.min.js", os.path.join("ext", "hx-sse.min.js"))

_FOR_GOOD = "public, max-age=31536000, immutable"


class Files(StaticFiles):
    """The files of a folder. A browser may cache a file with `?v=HASH` for good, and checks all others each time."""

    def __init__(self, directory: os.PathLike[str], only: Sequence[str] | None = None) -> None:
        """`only`: the files that are served; None serves all."""
        super().__init__(directory=directory, check_dir=False)
        self.config_checked = True  # a folder that is not installed has no files; that is no error of the server
        self.only = only

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        if self.only is not None and path not in self.only:
            return "", None
        return super().lookup_path(path)

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = _FOR_GOOD if scope["query_string"].startswith(b"v=") else "no-cache"
        return response
