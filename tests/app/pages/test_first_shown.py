"""The view and lens whose labels hold most often come first for people; the API's defaults stay what they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from starlette.testclient import TestClient

from app.main import create_app
from app.pages.tour import first_word, tour
from neuronym.contract import Lens, Strength, View
from neuronym.settings import Settings
from tests.app.conftest import opened
from tests.app.label_files import Plan, measurements, write_library


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The app on a label file where labels of the down view under the logit lens hold most often."""
    data = tmp_path_factory.mktemp("first")
    plan = Plan(measurements=measurements("tiny-chat", {"view": "down", "lens": "logit"}))
    plan.top = {
        ("tiny-chat", View.down, Lens.logit, 2, 1): [(" California", 9.0)],
        ("tiny-chat", View.down, Lens.cosine, 2, 1): [(" king", 9.0)],
    }
    write_library(data, plan)
    with TestClient(create_app(Settings(data=data))) as client:
        yield client


def soup(client: TestClient, address: str) -> BeautifulSoup:
    return BeautifulSoup(client.get(address).text, "html.parser")


def test_a_neuron_is_first_called_what_holds_most_often(site: TestClient, client: TestClient) -> None:
    page = soup(site, "/neurons/tiny-chat/2/1")
    assert page.title is not None and page.title.text.startswith("L2N1 California")
    assert " ".join(page.select(".lead")[0].text.split()).startswith("down writes California, gate reads")
    assert [heading["id"] for heading in page.select(".lens h2")] == ["lens-logit", "lens-cosine"]
    without = soup(client, "/neurons/tiny-chat/2/1")
    assert [heading["id"] for heading in without.select(".lens h2")] == ["lens-cosine", "lens-logit"]
    assert " ".join(without.select(".lead")[0].text.split()).startswith("gate reads")


def test_links_to_layers_ask_for_what_holds_most_often(site: TestClient, client: TestClient) -> None:
    address = "/layers/tiny-chat/2?view=down&lens=logit&sort=trust"
    for page in ("/neurons/tiny-chat/2/1", "/models/tiny-chat", "/models"):
        assert soup(site, page).select(f'a[href="{address}"]'), page
    assert site.get(address).status_code == 200
    assert soup(client, "/models/tiny-chat").select('a[href="/layers/tiny-chat/2"]')


def test_a_models_page_says_what_holds_most_often(site: TestClient) -> None:
    page = soup(site, "/models/tiny-chat")
    assert "Labels of the down view under the logit lens hold most often" in page.text
    assert page.select("table.graded tbody tr td")[0].text == "logit"
    answer = site.get("/api/v1/models/tiny-chat").json()
    assert answer["measurements"]["effect"]["result"]["first"] == {"view": "down", "lens": "logit"}


def test_the_apis_defaults_do_not_follow(site: TestClient) -> None:
    layer = site.get("/api/v1/layers/tiny-chat/2").json()
    assert (layer["view"], layer["lens"]) == ("up", "cosine")
    assert site.get("/api/v1/search?q=king").json()["query"]["lens"] == "cosine"


def test_a_tour_begins_with_labels_that_can_be_trusted(tmp_path: Path) -> None:
    """A tour shows at most two neurons of a layer: the strong ones, though another one has a higher z."""
    plan = Plan()
    planted = [(" california", 30.0, None), (" puppy", 9.0, Strength.strong), (" Dogs", 8.0, Strength.strong)]
    for index, (text, z, strength) in enumerate(planted):
        key = ("tiny-chat", View.up, Lens.cosine, 2, index)
        plan.top[key] = [(text, z)]
        if strength:
            plan.strength[key] = strength
    write_library(tmp_path, plan)
    for labels in opened(tmp_path):
        assert {first_word(stop) for stop in tour(labels, "tiny-chat")} >= {"puppy", "Dogs"}
        assert "california" not in {first_word(stop) for stop in tour(labels, "tiny-chat")}
