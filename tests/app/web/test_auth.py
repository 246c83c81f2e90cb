"""The token: which addresses need it, how it is sent, the cookie; and that a server needs it beyond this machine."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr, ValidationError
from starlette.testclient import TestClient

from app.cli.commands import main
from app.cli.doctor import examine
from app.main import create_app
from app.pages import sign_in
from app.pages.playground.scripts import scripts
from neuronym.contract import ClampRequest
from neuronym.settings import ROOT, Settings
from tests.serving import served
from worker.cli.group import main as worker_main
from worker.serving.service import create_service

Headers = Sequence[tuple[bytes, bytes]]
TOKEN = "a token of some length"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CLAMP = {"model": "tiny-chat", "prompt": "a", "clamps": [{"layer": 0, "index": 0, "value": 1}]}
SIGN_IN = "/sign-in?then=%2Fplayground"
FORM = {"act": "run", "model": "tiny-chat", "kind": "text", "text": "a", "neuron": "L0N0", "value": "1"}


@pytest.fixture
def guarded(planted_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(sign_in, "WRONG_KEY_DELAY", 0)
    with TestClient(
        create_app(Settings(data=planted_data, token=SecretStr(TOKEN))), raise_server_exceptions=False
    ) as client:
        yield client


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": "Basic €"},
        {"Cookie": "neuronym=€"},
    ],
)
def test_a_clamp_asks_for_the_token(guarded: TestClient, headers: dict[str, str]) -> None:
    sent: Headers = [(name.encode(), value.encode()) for name, value in headers.items()]
    for path, body in (("/api/v1/clamp", CLAMP), ("/api/v1/clamp", CLAMP | {"stream": True})):
        answer = guarded.post(path, json=body, headers=sent)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "token" in answer.json()["error"] and TOKEN not in answer.text


def test_with_the_token_a_clamp_reaches_the_worker(guarded: TestClient) -> None:
    answer = guarded.post("/api/v1/clamp", json=CLAMP, headers=BEARER)
    assert answer.status_code == 503 and "There is no worker" in answer.json()["error"]


def test_reading_stays_open(guarded: TestClient) -> None:
    for path in ("/", "/search?q=dog", "/api/v1/search?q=dog", "/playground", "/healthz", "/metrics", "/docs"):
        assert guarded.get(path).status_code == 200, path


def test_a_private_server_shows_nothing_without_the_token(planted_data: Path) -> None:
    settings = Settings(data=planted_data, token=SecretStr(TOKEN), private=True)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        for path in ("/", "/search?q=dog", "/api/v1/search?q=dog", "/playground", "/docs", "/export/labels.csv"):
            assert client.get(path).status_code == 401, path
        assert "/sign-in?then=/search?q%3Ddog" in client.get("/search?q=dog").text
        assert "for those who know its token" in client.get("/sign-in").text
        assert client.get("/sign-in").status_code == client.get("/healthz").status_code == 200
        assert client.get("/api/v1/search?q=dog", headers=BEARER).status_code == 200


def test_a_browser_signs_in_once(guarded: TestClient) -> None:
    refused = guarded.post("/playground", data=FORM)
    assert refused.status_code == 401 and 'href="/sign-in?then=/playground?' in refused.text
    assert 'type="password"' in guarded.get(SIGN_IN).text
    wrong = guarded.post("/sign-in", data={"token": "wrong", "then": "/playground"})
    assert wrong.status_code == 401 and "not the token" in wrong.text and not guarded.cookies
    right = guarded.post("/sign-in", data={"token": TOKEN, "then": "/models"}, follow_redirects=False)
    assert (right.status_code, right.headers["Location"]) == (303, "/models")
    cookie = right.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and TOKEN not in cookie
    assert guarded.post("/playground", data=FORM).status_code == 503  # there is no worker in this test
    guarded.app.state.settings = guarded.app.state.settings.model_copy(  # type: ignore[attr-defined]
        update={"token": SecretStr("another token now")}
    )
    assert guarded.post("/playground", data=FORM).status_code == 401


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_browser_stays_signed_in_as_long_as_the_docs_say(planted_data: Path, scheme: str) -> None:
    promised = re.search(r"made of the token for (\d+) days", (ROOT / "docs" / "security.md").read_text())
    assert promised is not None
    app = create_app(Settings(data=planted_data, token=SecretStr(TOKEN)))
    with TestClient(app, base_url=f"{scheme}://testserver") as client:
        answer = client.post("/sign-in", data={"token": TOKEN, "then": "/models"}, follow_redirects=False)
    cookie = answer.headers["Set-Cookie"].split("; ")
    assert f"Max-Age={int(promised[1]) * 24 * 60 * 60}" in cookie
    assert ("Secure" in cookie) is (scheme == "https")


@pytest.mark.parametrize("then", ["//elsewhere.example", "https://elsewhere.example", "/\\elsewhere", "/a\nb", ""])
def test_signing_in_leads_nowhere_else(guarded: TestClient, then: str) -> None:
    answer = guarded.post("/sign-in", data={"token": TOKEN, "then": then}, follow_redirects=False)
    assert answer.headers["Location"] == "/playground"


def test_without_a_token_there_is_nothing_to_sign_in_to(client: TestClient) -> None:
    assert client.get("/sign-in").status_code == 404


def test_scripts_of_a_guarded_server_send_its_token() -> None:
    request = ClampRequest.model_validate(CLAMP)
    signed, plain = scripts(request, "http://here", guarded=True), scripts(request, "http://here")
    assert '-H "Authorization: Bearer $NEURONYM_TOKEN"' in signed.curl and "Authorization" not in plain.curl
    compile(signed.python, "signed", "exec")
    assert 'os.environ["NEURONYM_TOKEN"]' in signed.python and "os" not in plain.python.splitlines()[0]


def test_app_and_worker_with_different_secrets_say_so(planted_data: Path) -> None:
    with served(create_service(Settings(worker_secret=SecretStr("between the two of us")), {})) as url:
        for secret, sentence in (("between others", "different secrets"), ("between the two of us", "tiny-chat")):
            settings = Settings(data=planted_data, worker_url=url, worker_secret=SecretStr(secret))
            with TestClient(create_app(settings)) as client:
                answer = client.post("/api/v1/clamp", json=CLAMP)
            assert sentence in answer.json()["error"]
            assert answer.status_code == (503 if secret == "between others" else 404)  # no model is mapped there
        checked = {check.name: check for check in examine(settings.model_copy(update={"worker_secret": None})).checks}
        assert checked["worker"].state == "wrong" and "NEURONYM_WORKER_SECRET" in checked["worker"].says
        assert {check.name: check.state for check in examine(settings).checks}["worker"] == "ok"


@pytest.mark.parametrize("command, name", [(main, "NEURONYM_TOKEN"), (worker_main, "NEURONYM_WORKER_SECRET")])
def test_nothing_listens_beyond_this_machine_without_a_secret(command, name, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("NEURONYM_OPEN", raising=False)
    result = CliRunner().invoke(command, ["serve", "--host", "0.0.0.0", "--port", "0"])
    assert result.exit_code == 1
    assert f"Set {name} to a secret" in result.output


def test_a_short_secret_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError, match="12 characters at least") as refusal:
        Settings.model_validate({"token": "guessable"})
    assert "guessable" not in str(refusal.value)
    assert Settings.model_validate({"token": ""}).token is None


def test_a_limit_that_is_no_size_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to"):
        Settings.model_validate({"memory_limit": "50%"})


def test_a_private_server_needs_a_token() -> None:
    with pytest.raises(ValidationError, match="NEURONYM_TOKEN"):
        Settings(private=True)
