"""Requests to a local hub: who asks, which repository, and how it answers."""

import json
import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from tests.local_hub.state import TOKENS, Dataset, Hub


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    routes: ClassVar[Mapping[tuple[str, str], str]]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        refused = next((status for part, status in self.hub.refuse.items() if part in path), None)
        if refused:
            self.body()
            self.send({"error": "refused"}, refused)
            return
        for (method, pattern), name in self.routes.items():
            match = re.fullmatch(pattern, path)
            if method == self.command and match:
                getattr(self, name)(*match.groups())
                return
        self.body()
        self.send({}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    @property
    def user(self) -> str | None:
        return TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "))

    def dataset(self, name: str, revision: str | None, writing: bool = False) -> tuple[Dataset | None, str]:
        """The repository and the commit, if this login may see them; else the answer that the hub gives."""
        dataset, owns = self.hub.datasets.get(name), self.user == name.split("/")[0]
        if dataset is None or (dataset.private and not owns):
            self.send({}, 404 if self.user else 401, {"X-Error-Code": "RepoNotFound"})
        elif writing and not owns:
            self.send({}, 403, {"X-Error-Message": "you lack the right to write"})
        elif revision not in (None, "main", *dataset.commits):
            self.send({}, 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            return dataset, dataset.head if revision in (None, "main") else str(revision)
        return None, ""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def send(self, answer: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def break_off(self) -> None:
        self.wfile.flush()
        self.close_connection = True
