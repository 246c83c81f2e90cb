"""Pages: each shows what its JSON twin says, is safe without trusting a vocabulary, and works without a script."""

from collections import deque
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from starlette.testclient import TestClient

from app.main import create_app
from neuronym.settings import Settings
from tests.app.label_files import HASHES, planted_file, token_ids, write_library

TOKENS = token_ids(0)
PARTIAL = {"HX-Request": "true", "HX-Request-Type": "partial"}
PAGES = [
    "/",
    "/search",
    "/search?q=California",
    "/search?q=%3Cb%3E",
    "/search?q=cal*",
    "/search?q=New%20York",
    "/search?q=California&side=bottom&view=up",
    "/neurons/tiny-chat/2/1",
    "/neurons/tiny-base/2/1",
    "/neurons/tiny-gpt/0/2",
    "/layers/tiny-chat/2",
    "/layers/tiny-chat/1?sort=trust",
    "/layers/tiny-gpt/0?view=down&sort=neuron",
    "/tokens",
    "/tokens?q=dog",
    f"/tokens/{HASHES[0]}/{TOKENS[' California']}",
    *(f"/tokens/{HASHES[0]}/{TOKENS[text]}" for text in ("<b>", "\u202e", "\n", '"', "<|end|>")),
    "/compare/tiny-base/tiny-chat",
    "/compare/tiny-base/tiny-second",
    "/compare/tiny-base/tiny-chat/2/1",
    "/compare/tiny-base/tiny-chat/changed",
    "/compare/tiny-base/tiny-chat/changed?layer=0&view=down&include_near_ties=true&sort=margin",
    "/compare/tiny-base/tiny-chat/changed?concept=dog",
    "/compare/tiny-base/tiny-chat/concepts?direction=gained",
    "/compare/tiny-base/tiny-gpt",
    "/models",
    "/models/tiny-chat",
    "/models/tiny-gpt",
    "/playground",
    "/playground?model=tiny-chat&prompt=%3Cb%3E&clamp=L2N1:up:set:20&clamp=L9N9:up:set:1&clamp=x",
    "/method",
    "/docs",
    "/neurons/nowhere/0/0",
    "/nowhere",
]


def soup(client: TestClient, address: str, **headers: str) -> BeautifulSoup:
    """A page, parsed."""
    return BeautifulSoup(client.get(address, headers=headers).text, "html.parser")


@pytest.mark.parametrize("address", PAGES)
def test_no_page_needs_more_than_the_policy_allows(client: TestClient, address: str) -> None:
    page = soup(client, address)
    assert not page.select("style, [style], iframe, object, embed, base")
    assert not [tag for tag in page.find_all(True) if any(name.startswith("on") for name in tag.attrs)]
    for script in page.find_all("script"):
        assert str(script.get("src", "")).startswith("/static/") and not script.text.strip()
    for tag in page.select("[href], [src], [action]"):
        for name in ("href", "src", "action"):
            assert not str(tag.get(name, "/")).startswith(("http", "//", "javascript", "data")), tag


@pytest.mark.parametrize("address", PAGES)
def test_every_page_is_whole(client: TestClient, address: str) -> None:
    page = soup(client, address)
    title, headings = page.title, page.find_all("h1")
    assert title is not None and title.text.strip()
    assert len(headings) == 1
    assert page.select_one("html[lang]") and page.select_one("main#main") and page.select_one('a[href="#main"]')
    ids = [tag["id"] for tag in page.select("[id]")]
    assert len(ids) == len(set(ids))
    assert not [table for table in page.find_all("table") if not table.caption]
    assert not [head for head in page.find_all("th") if "scope" not in head.attrs]


ANSWERED = [page for page in PAGES if "nowhere" not in page and page != "/compare/tiny-base/tiny-gpt"]


@pytest.mark.parametrize("address", ANSWERED)
def test_every_question_has_its_answer_as_json(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["Vary"].split(", ")[0] == "HX-Request-Type"
    link = BeautifulSoup(answer.text, "html.parser").select_one('link[rel="alternate"][type="application/json"]')
    if urlsplit(address).path in ("/playground", "/method", "/docs"):
        assert link is None
        return
    assert link is not None
    twin = str(link["href"])
    assert twin in answer.headers["Link"]
    assert address == "/" or urlsplit(twin).path == "/api/v1" + urlsplit(address).path
    assert client.get(twin).json()["run"] == "planted-1"


def test_results_are_those_of_the_twin(client: TestClient) -> None:
    """Each result is in one row; the row of a pair has those of both its models."""
    address = "/search?q=California&lens=cosine"
    rows = soup(client, address).select("table.found tbody tr")
    expected = client.get("/api/v1" + address).json()["results"]
    shown = [
        (row.select_one(".neuron").text, row.select_one(".view").text.split()[0], model.find(string=True))  # type: ignore[union-attr]
        for row in rows
        for model in row.select(".named-model")
    ]
    assert sorted(shown) == sorted((result["neuron"], result["view"], result["model"]) for result in expected)
    assert [(neuron, model) for neuron, _, model in shown[:3]] == [
        ("L2N1", "tiny-chat"),
        ("L2N1", "tiny-second"),
        ("L2N1", "tiny-base"),
    ]
    assert [chip.text for chip in rows[0].select(".chips > mark")] == [" California", "California"]


def test_htmx_gets_the_results_alone(client: TestClient) -> None:
    answer = client.get("/search?q=California&model=&min_z=", headers=PARTIAL)
    assert "<html" not in answer.text and "table" in answer.text
    assert answer.headers["HX-Replace-Url"] == "/search?q=California"


def test_an_error_is_one_block_for_htmx_and_a_page_else(client: TestClient) -> None:
    block = client.get("/search?q=a&layer_min=x", headers=PARTIAL)
    assert block.status_code == 422 and "<html" not in block.text and 'role="alert"' in block.text
    whole = client.get("/search?q=a&layer_min=x")
    assert whole.status_code == 422 and "layer_min" in whole.text and "<html" in whole.text


@pytest.mark.parametrize("text", ["L2N1", "l2n1", " L2N1 "])
def test_a_neurons_name_leads_to_the_neuron(client: TestClient, text: str) -> None:
    answer = client.get("/search", params={"q": text}, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/neurons/tiny-chat/2/1")
    chosen = client.get("/search", params={"q": text, "model": "tiny-gpt"}, follow_redirects=False)
    assert chosen.headers["Location"] == "/neurons/tiny-gpt/2/1"


def test_while_typing_a_neurons_name_is_a_link(client: TestClient) -> None:
    answer = client.get("/search", params={"q": "L2N1"}, headers=PARTIAL, follow_redirects=False)
    assert answer.status_code == 200
    assert 'href="/neurons/tiny-base/2/1"' in answer.text


def test_empty_fields_of_the_form_leave_no_trace_in_the_address(client: TestClient) -> None:
    answer = client.get("/search?q=dog&model=&view=&min_z=&lens=cosine", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/search?q=dog")


def test_text_of_several_tokens_offers_its_pieces(client: TestClient) -> None:
    page = soup(client, "/search?q=New%20York")
    assert "is not one token" in page.text
    assert [link.text for link in page.select("#results a.token")] == ["New", " York"]


def test_a_page_of_results_leads_to_the_next(client: TestClient) -> None:
    page = soup(client, "/search?q=California&limit=1&offset=1")
    assert [link["href"] for link in page.select(".pager a")] == [
        "/search?q=California&limit=1",
        "/search?q=California&limit=1&offset=2",
    ]


def test_a_label_whose_bottom_stands_out_is_named_against_it(client: TestClient) -> None:
    page = soup(client, "/neurons/tiny-chat/1/1")
    card = page.select_one('[aria-labelledby="up-cosine"]')
    assert card is not None
    name = card.select_one(".name")
    assert name is not None and " ".join(name.text.split()).startswith("against dog, California")


def test_a_neuron_shows_effect_activity_and_the_other_model(client: TestClient) -> None:
    page = soup(client, "/neurons/tiny-chat/2/1")
    assert page.select("table.names-tried tbody tr") and page.select("table.activity tbody tr")
    assert "tiny-base" in page.select_one('[aria-labelledby="up-cosine"] .counterpart').text  # type: ignore[union-attr]
    assert [link["href"] for link in page.select(".walk a")] == ["/neurons/tiny-chat/2/0", "/neurons/tiny-chat/2/2"]
    assert [link.text for link in page.select(".similar a")] == ["L2N3", "L2N0"]


def test_every_link_leads_somewhere(client: TestClient) -> None:
    seen, waiting = {"/"}, deque(["/"])
    while waiting and len(seen) < 150:
        address = waiting.popleft()
        answer = client.get(address)
        assert answer.status_code == 200, address
        if "html" not in answer.headers["Content-Type"]:
            continue
        for link in BeautifulSoup(answer.text, "html.parser").select("a[href], link[href], script[src]"):
            target = urljoin(address, str(link.get("href") or link.get("src"))).split("#")[0]
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    assert len(seen) > 50


FORM = {
    "model": "tiny-chat",
    "kind": "prompt",
    "text": "A dog",
    "neuron": ["L2N1", "L1N0"],
    "site": ["up", "act"],
    "mode": ["set", "add"],
    "value": ["20", "-1"],
}


def test_reading_the_playground_generates_nothing(client: TestClient) -> None:
    page = soup(client, "/playground?model=tiny-chat&prompt=A%20dog&clamp=L2N1:up:set:20")
    assert page.select_one("#neuron-0")["value"] == "L2N1"  # type: ignore[index]
    assert "California" in page.select_one("#name-0").text  # type: ignore[union-attr]
    assert not page.select("#run-body, #run .problem")


def test_rows_come_and_go_without_a_script(client: TestClient) -> None:
    added = client.post("/playground", data={**FORM, "act": "add"}, follow_redirects=False)
    assert added.status_code == 303
    assert added.headers["Location"] == (
        "/playground?model=tiny-chat&prompt=A%20dog&clamp=L2N1:up:set:20&clamp=L1N0:act:add:-1&clamp="
    )
    page = soup(client, added.headers["Location"])
    assert len(page.select("#clamps .row")) == 3
    removed = client.post("/playground", data={**FORM, "act": "remove-0"}, follow_redirects=False)
    assert removed.headers["Location"] == "/playground?model=tiny-chat&prompt=A%20dog&clamp=L1N0:act:add:-1"


def test_with_htmx_only_the_rows_are_sent(client: TestClient) -> None:
    answer = client.post("/playground", data={**FORM, "act": "add"}, headers=PARTIAL)
    page = BeautifulSoup(answer.text, "html.parser")
    assert len(page.select("#clamps .row")) == 3 and "<html" not in answer.text
    named = client.post("/playground", data={**FORM, "act": "name-0"}, headers=PARTIAL)
    assert "California" in named.text and "fieldset" not in named.text


@pytest.mark.parametrize("headers", [{}, {**PARTIAL, "Accept": "text/html, text/event-stream"}])
def test_without_a_worker_the_page_says_so_in_place(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.post("/playground", data={**FORM, "act": "run"}, headers=headers)
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert "worker" in BeautifulSoup(answer.text, "html.parser").select_one(".problem").text  # type: ignore[union-attr]
    assert ("<html" in answer.text) is not bool(headers)


def test_a_mistake_in_the_form_keeps_what_was_typed(client: TestClient) -> None:
    answer = client.post("/playground", data={**FORM, "value": ["much", "1"], "act": "run"})
    page = BeautifulSoup(answer.text, "html.parser")
    assert answer.status_code == 422
    assert "give L2N1 a number" in page.select_one(".problem").text  # type: ignore[union-attr]
    assert page.select_one("#value-0")["value"] == "much"  # type: ignore[index]


def test_another_site_cannot_run_the_playground(client: TestClient) -> None:
    answer = client.post("/playground", data=FORM, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


def test_what_cannot_be_read_is_named_without_a_path(tmp_path: Path) -> None:
    write_library(tmp_path)
    planted_file(tmp_path, "tiny-chat").write_bytes(b"")
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        pages = [client.get(address).text for address in ("/models", "/models/tiny-chat")]
    text = " ".join(BeautifulSoup(page, "html.parser").get_text(" ", strip=True) for page in pages)
    assert "Left out, for their label files cannot be read: tiny-chat." in text
    assert "The label file of tiny-chat cannot be read" in text
    assert str(tmp_path) not in text
