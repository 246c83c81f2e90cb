"""The security headers of every answer."""

from pathlib import Path

import pytest
from fastapi import FastAPI, Response
from starlette.testclient import TestClient

from app.main import create_app
from app.web.middleware import SecurityHeaders
from neuronym.settings import Settings

# Besides the Content-Security-Policy. What each keeps a browser from: guessing that a text is a script, showing a page
# inside another (also in browsers that know no `frame-ancestors`), telling others what was searched for, reaching our
# window or our answers from another site's page, asking for cameras and the like.
PROMISED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1/models",
        "/nowhere",
        "/api/v1/nowhere",
        "/static/app.css",
        "/healthz",
        "/docs",
        "/export/labels.csv",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_carries_what_keeps_a_browser_safe(client: TestClient, method: str, path: str) -> None:
    headers = client.request(method, path).headers
    assert {name: headers.get(name) for name in PROMISED} == PROMISED


def test_an_answer_to_our_own_fault_carries_it_too(planted_data: Path) -> None:
    app = create_app(Settings(data=planted_data))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/broken")
    assert answer.status_code == 500
    assert {name: answer.headers.get(name) for name in PROMISED} == PROMISED


def test_a_header_that_an_answer_sets_itself_is_not_sent_twice() -> None:
    app = FastAPI()

    @app.get("/")
    def framed() -> Response:
        return Response(headers={"X-Frame-Options": "SAMEORIGIN"})

    app.add_middleware(SecurityHeaders)
    with TestClient(app) as client:
        headers = client.get("/").headers
    assert headers.get_list("X-Frame-Options") == ["SAMEORIGIN"]
    assert headers["X-Content-Type-Options"] == "nosniff"
