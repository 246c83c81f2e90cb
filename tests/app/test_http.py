"""What every answer has in common: one error shape, an ETag, headers that keep a browser safe, HEAD."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from neuronym.contract import ErrorAnswer
from neuronym.settings import Settings
from tests.app.label_files import HASHES, Plan, token_ids, write_library

QUESTIONS = [
    "/api/v1/models",
    "/api/v1/search?q=California",
    "/api/v1/neurons/tiny-chat/2/1",
    "/api/v1/layers/tiny-chat/2",
    "/api/v1/tokens?q=dog",
    f"/api/v1/tokens/{HASHES[0]}/{token_ids(0)[' dog']}",
    "/api/v1/compare/tiny-base/tiny-chat",
    "/api/v1/compare/tiny-base/tiny-chat/2/1",
    "/api/v1/compare/tiny-base/tiny-chat/changed?view=down",
    "/api/v1/compare/tiny-base/tiny-chat/concepts?direction=gained",
]


def refusal(client: TestClient, path: str, status: int, **asked: Any) -> ErrorAnswer:
    """A refusal in the one shape, as JSON."""
    response = client.request(asked.pop("method", "GET"), path, **asked)
    assert response.status_code == status, response.text
    told = response.json()
    assert set(told) == {"ok", "error", "errors", "status"}
    answer = ErrorAnswer.model_validate(told)
    assert answer.errors and all(answer.errors)
    assert answer.error == " ".join(answer.errors)
    assert answer.status == status
    return answer


@pytest.mark.parametrize("path", QUESTIONS)
def test_an_answer_names_its_label_file(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.json()["run"] == "planted-1"
    assert response.headers["ETag"] == '"planted-1"'
    assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", QUESTIONS)
@pytest.mark.parametrize("had", ['"planted-1"', 'W/"planted-1"', '"other", "planted-1"', "*"])
def test_one_who_has_the_answer_gets_none(client: TestClient, path: str, had: str) -> None:
    response = client.get(path, headers={"If-None-Match": had})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["ETag"] == '"planted-1"'


def test_one_who_has_an_older_answer_gets_the_new_one(client: TestClient) -> None:
    assert client.get("/api/v1/models", headers={"If-None-Match": '"planted-0"'}).status_code == 200


def test_a_newer_label_file_has_another_etag(tmp_path: Path) -> None:
    write_library(tmp_path, Plan("one"))
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        had = client.get("/api/v1/models").headers["ETag"]
        write_library(tmp_path, Plan("two"))
        response = client.get("/api/v1/models", headers={"If-None-Match": had})
    assert (response.status_code, response.json()["run"]) == (200, "two")


@pytest.mark.parametrize(
    "path", [*QUESTIONS, "/", "/search?q=dog", "/healthz", "/docs", "/openapi.json", "/static/app.css"]
)
def test_head_is_get_without_its_body(client: TestClient, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/neurons/nope/0/0", 404, "Mapped models: tiny-base, tiny-chat, tiny-second, tiny-gpt."),
        ("/api/v1/neurons/tiny-chat/3/0", 404, "tiny-chat has no layer 3: its layers are 0 to 2."),
        ("/api/v1/neurons/tiny-chat/0/4", 404, "its neurons are 0 to 3."),
        ("/api/v1/neurons/tiny-chat/x/0", 422, "layer should be a valid integer"),
        ("/api/v1/layers/tiny-gpt/0?view=gate", 422, "its MLP is ungated"),
        ("/api/v1/layers/tiny-chat/0?layer=1", 422, "There is no parameter layer; there are view, lens,"),
        ("/api/v1/search?colour=red", 422, "There is no parameter colour; there are q, model, pair,"),
        ("/api/v1/search?q=dog&model=nope", 404, "Mapped models:"),
        ("/api/v1/search?q=dog&pair=nope", 404, "Mapped pairs: tiny-pair, tiny-later."),
        ("/api/v1/search?view=sideways", 422, "view should be 'any', 'up', 'gate' or 'down', not 'sideways'."),
        ("/api/v1/search?lens=fish", 422, "lens should be 'logit' or 'cosine', not 'fish'."),
        ("/api/v1/search?limit=501", 422, "limit should be less than or equal to 500, not '501'."),
        ("/api/v1/search?limit=many", 422, "limit should be a valid integer"),
        ("/api/v1/search?offset=-1", 422, "offset should be greater than or equal to 0, not '-1'."),
        ("/api/v1/search?min_z=nan", 422, "min_z should be a finite number, not 'nan'."),
        ("/api/v1/search?layer_min=2&layer_max=1", 422, "layer_min: 2 is above layer_max, 1."),
        (f"/api/v1/search?q={'x' * 10_001}", 422, "q should have at most 10000 characters."),
        ("/api/v1/tokens?q=dog&tokenizer=nope", 404, "There is: aaaa"),
        ("/api/v1/tokens/nope/1", 404, "There is: aaaa"),
        (f"/api/v1/tokens/{HASHES[0]}/99999", 404, "its highest id is"),
        ("/api/v1/compare/tiny-base/nope", 404, "Mapped pairs: tiny-base with tiny-chat, tiny-base with tiny-second."),
        ("/api/v1/compare/tiny-chat/tiny-base", 409, "In this pair tiny-base is the base"),
        (
            "/api/v1/compare/tiny-base/tiny-gpt",
            409,
            "they differ in architecture (LlamaForCausalLM and GPT2LMHeadModel)",
        ),
        (
            "/api/v1/compare/tiny-chat/tiny-second/0/0",
            409,
            "`neuronym-worker map planted/tiny-chat planted/tiny-second",
        ),
        ("/api/v1/compare/tiny-base/tiny-chat/3/0", 404, "tiny-base has no layer 3: its layers are 0 to 2."),
        ("/api/v1/compare/tiny-base/tiny-chat/x/0", 422, "layer should be a valid integer"),
        ("/api/v1/compare/tiny-base/tiny-chat/changed?layer=3", 404, "its layers are 0 to 2"),
        ("/api/v1/compare/tiny-base/tiny-chat/changed?sort=up", 422, "'drift', 'overlap', 'layer' or 'margin'"),
        ("/api/v1/compare/tiny-base/tiny-chat/concepts?layer=1", 422, "There is no parameter layer; there are view,"),
        ("/api/v1/nowhere", 404, "There is nothing at /api/v1/nowhere."),
        ("/api/v1/clamp", 405, "GET is not for /api/v1/clamp; use POST."),
    ],
)
def test_a_refusal_names_the_field_and_what_there_is(client: TestClient, path: str, status: int, said: str) -> None:
    assert said in refusal(client, path, status).error


def test_each_mistake_is_named_once(client: TestClient) -> None:
    errors = refusal(client, "/api/v1/search?limit=0&view=x&sort=y", 422).errors
    assert [error.split()[0] for error in errors] == ["view", "sort", "limit"]


def test_a_method_that_is_not_allowed_says_which_is(client: TestClient) -> None:
    response = client.delete("/api/v1/models")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET"


def test_what_an_html_form_leaves_empty_is_unset(client: TestClient) -> None:
    empty = "model=&pair=&view=&layer_min=&layer_max=&min_z=&strength=&agreement=&sort=&limit=&offset="
    assert client.get(f"/api/v1/search?q=dog&{empty}").json() == client.get("/api/v1/search?q=dog").json()


def test_ten_thousand_characters_are_answered(client: TestClient) -> None:
    answer = client.get("/api/v1/search", params={"q": "é" * 10_000}).json()
    assert (answer["total"], len(answer["pieces"])) == (0, 4)  # two bytes, in two vocabularies


@pytest.mark.parametrize("q", ["%00", "%", "%ff", "%25", "%22", "*", "%0a%0d", "%E2%80%AE", "'%3B--", "%F0%9F%90%95"])
def test_odd_characters_in_an_address_are_answered(client: TestClient, q: str) -> None:
    for path in ("/api/v1/search", "/api/v1/tokens", "/search", "/tokens"):
        assert client.get(f"{path}?q={q}", follow_redirects=False).status_code == 200


def test_no_label_file_is_503_with_retry_after(tmp_path: Path) -> None:
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        assert "make map" in refusal(client, "/api/v1/models", 503).error
        response = client.get("/search?q=dog")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert "make map" in response.text


@pytest.mark.parametrize(
    "path, packed",
    [("/search?q=dog", True), ("/api/v1/search?q=dog", True), ("/healthz", False), ("/export/labels.csv", False)],
)
def test_long_answers_are_compressed_where_that_is_understood(client: TestClient, path: str, packed: bool) -> None:
    asked = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert (asked.headers.get("Content-Encoding") == "gzip") is packed, path
    plain = client.get(path, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers and plain.content == asked.content
    assert not packed or "Accept-Encoding" in asked.headers["Vary"]


@pytest.mark.parametrize("path", ["/search?limit=x", "/neurons/nope/0/0", "/nowhere", "/neurons/tiny-chat/9/0"])
def test_people_get_a_page(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    page = BeautifulSoup(response.text, "html.parser")
    told = client.get(f"/api/v1{path}").json() if path != "/nowhere" else None
    said = [sentence.get_text() for sentence in page.select("[role=alert] p")]
    assert said
    assert told is None or said == told["errors"]


def test_markup_in_an_address_is_text(client: TestClient) -> None:
    response = client.get("/neurons/%3Cscript%3Ealert(1)%3C%2Fscript%3E/0/0")
    assert response.status_code == 404
    assert "<script>alert" not in response.text


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/models", "/nowhere", "/api/v1/nowhere", "/static/app.css", "/healthz", "/docs"]
)
def test_every_answer_carries_the_policy(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "server" not in headers


def test_a_fault_of_ours_is_told_without_a_traceback(planted_data: Path) -> None:
    app = create_app(Settings(data=planted_data))
    _break(app)
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = refusal(client, "/api/v1/broken", 500)
        page = client.get("/broken")
    assert answer.error == "Something broke while this was answered. The log of the app says what."
    assert (page.status_code, "Traceback" in page.text, "secret" in page.text) == (500, False, False)
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def _break(app: FastAPI) -> None:
    @app.get("/broken")
    @app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError("secret")


def test_only_two_files_of_htmx_are_served(client: TestClient) -> None:
    assert client.get("/static/htmx/htmx.min.js").status_code == 200
    assert client.get("/static/htmx/ext/hx-sse.min.js").status_code == 200
    for path in ("htmx.js", "../package.json", "%2e%2e/package.json", "ext/../htmx.js", "ext/hx-ws.min.js", ""):
        assert client.get(f"/static/htmx/{path}").status_code == 404


def test_a_file_named_by_its_content_may_be_kept(client: TestClient) -> None:
    link = BeautifulSoup(client.get("/").text, "html.parser").select_one("link[rel=stylesheet]")
    assert link is not None
    assert "immutable" in client.get(str(link["href"])).headers["Cache-Control"]
    assert client.get("/static/app.css").headers["Cache-Control"] == "no-cache"


def test_the_reference_and_the_schema_need_no_other_host(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/docs").text, "html.parser")
    for tag in page.select("script, link, img"):
        address = str(tag.get("src") or tag.get("href"))
        assert address.startswith("/"), address
    assert all(not script.string for script in page.select("script"))
    operations = client.get("/openapi.json").json()["paths"]
    assert set(operations) >= {
        "/api/v1/models",
        "/api/v1/search",
        "/api/v1/neurons/{model}/{layer}/{index}",
        "/api/v1/layers/{model}/{layer}",
        "/api/v1/tokens",
        "/api/v1/tokens/{tokenizer}/{token_id}",
        "/api/v1/compare/{base}/{instruct}",
        "/api/v1/compare/{base}/{instruct}/{layer}/{index}",
        "/api/v1/compare/{base}/{instruct}/changed",
        "/api/v1/compare/{base}/{instruct}/concepts",
        "/api/v1/clamp",
    }
    for path in operations:
        assert path in page.get_text()


def test_the_schema_tells_of_refusals_in_the_one_shape(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    refusals = [
        answer["content"]["application/json"]["schema"]
        for operations in schema["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status >= "400"
    ]
    assert refusals
    assert all(one == {"$ref": "#/components/schemas/ErrorAnswer"} for one in refusals)
    assert "HTTPValidationError" not in json.dumps(schema)


def test_requests_are_counted_by_what_answers(client: TestClient) -> None:
    client.get("/api/v1/models")
    client.get("/nowhere/1")
    client.get("/nowhere/2")
    text = client.get("/metrics").text
    assert re.search(r'neuronym_requests_total\{method="GET",route="get_models",status="200"\} \d', text)
    assert "nowhere" not in text
    assert 'neuronym_request_seconds_count{route="get_models"}' in text
    assert "neuronym_requests_running 1.0" in text
