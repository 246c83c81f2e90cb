"""A model of which only a part is mapped: pages and answers say so, and what is not mapped is refused in a sentence."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from starlette.testclient import TestClient

from app.cli.doctor import examine
from app.errors import NotFound
from app.labelfile.catalog import Catalog
from app.labelfile.library import Library
from app.main import create_app
from app.pages.tour import tour
from app.queries.clamps import check_clamps
from app.queries.lookup import check_layer
from app.queries.neuron import neuron
from neuronym.contract import Clamp, ClampRequest
from neuronym.settings import Settings
from tests.checkpoints import LAYERS, NEURONS, make_checkpoint
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe

REFUSAL = (
    "Layer {} of before is not mapped, only layers 1 to 2 of 4: run the same `neuronym-worker map` without --layers to "
    "map the rest."
)


@pytest.fixture(scope="module")
def data(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair that is mapped in layers 1 and 2, and a model `lone` in layer 3."""
    folder = tmp_path_factory.mktemp("part")
    settings = Settings(data=folder / "data")
    other = make_checkpoint(folder / "other", seed=1)
    MapRun(settings, MapRecipe(layers=range(1, 3))).map_pair(str(tiny_llama), str(other), ["before", "after"])
    MapRun(settings, MapRecipe(layers=range(3, 4))).map([str(tiny_llama)], ["lone"])
    return settings.data


@pytest.fixture(scope="module")
def client(data: Path) -> Iterator[TestClient]:
    """The app on that file, without a worker."""
    with TestClient(create_app(Settings(data=data))) as client:
        yield client


@pytest.fixture(scope="module")
def labels(data: Path) -> Iterator[Library]:
    """That file, open."""
    catalog = Catalog(Settings(data=data))
    yield catalog.current()
    catalog.close()


def text(client: TestClient, address: str) -> str:
    """What a page says."""
    response = client.get(address)
    assert response.status_code == 200, response.text
    return " ".join(BeautifulSoup(response.text, "html.parser").get_text(" ").split())


@pytest.mark.parametrize("layer", [0, 3])
@pytest.mark.parametrize("address", ["/neurons/before/{}/7", "/layers/before/{}", "/compare/before/after/{}/7"])
def test_what_is_not_mapped_is_refused_in_a_sentence(client: TestClient, address: str, layer: int) -> None:
    answer = client.get("/api/v1" + address.format(layer))
    assert (answer.status_code, answer.json()["error"]) == (404, REFUSAL.format(layer))
    page = client.get(address.format(layer))
    assert page.status_code == 404
    assert REFUSAL.format(layer) in BeautifulSoup(page.text, "html.parser").get_text()


def test_a_layer_the_model_does_not_have_is_still_told_apart(client: TestClient) -> None:
    answer = client.get("/api/v1/layers/before/4").json()
    assert answer["error"] == "before has no layer 4: its layers are 0 to 3."
    changed = client.get("/api/v1/compare/before/after/changed?layer=0")
    assert (changed.status_code, changed.json()["error"]) == (404, REFUSAL.format(0))


def test_one_mapped_layer_is_named_as_one(labels: Library) -> None:
    with pytest.raises(NotFound, match="Layer 0 of lone is not mapped, only layer 3 of 4: "):
        check_layer(labels.models["lone"], 0)


def test_models_say_which_layers_are_mapped(client: TestClient) -> None:
    models = {one["name"]: one for one in client.get("/api/v1/models").json()["models"]}
    assert {name: (one["layers"], one["mapped_layers"]) for name, one in models.items()} == {
        "after": (LAYERS, [1, 2]),
        "before": (LAYERS, [1, 2]),
        "lone": (LAYERS, [3, 3]),
    }
    assert client.get("/api/v1/models/before").json()["mapped_layers"] == [1, 2]
    assert models["before"]["settings"]["layers"] == [1, 2]


def test_a_whole_model_names_no_part(data_folder: Path) -> None:
    with TestClient(create_app(Settings(data=data_folder))) as client:
        assert client.get("/api/v1/models/tiny").json()["mapped_layers"] is None
        for address in ("/models/tiny", "/models", "/layers/tiny/0"):
            assert "Only a part" not in text(client, address)


def test_pages_say_that_only_a_part_is_mapped(client: TestClient) -> None:
    for address in ("/models", "/models/before", "/layers/before/1", "/compare/before/after"):
        assert "Only a part of before is mapped: layers 1 to 2 of 4." in text(client, address)
    assert "Only a part of lone is mapped: layer 3 of 4." in text(client, "/models/lone")
    assert "Labels of layer 3 of 4 by strength" in text(client, "/models/lone")
    assert f"1 to 2 of 4 {2 * NEURONS}" in text(client, "/")


@pytest.mark.parametrize("address", ["/", "/models", "/models/before", "/layers/before/1", "/neurons/before/2/47"])
def test_no_link_leads_to_what_is_not_mapped(client: TestClient, address: str) -> None:
    links = {
        str(link["href"])
        for link in BeautifulSoup(client.get(address).text, "html.parser").find_all("a", href=True)
        if str(link["href"]).startswith(("/layers/", "/neurons/", "/compare/"))
    }
    assert links
    assert {link: code for link in links if (code := client.get(link).status_code) != 200} == {}


def test_previous_and_next_stay_in_the_part(labels: Library) -> None:
    first, last = neuron(labels, "before", 1, 0).neighbours, neuron(labels, "before", 2, NEURONS - 1).neighbours
    assert (first.previous, first.next) == (None, "L1N1")
    assert (last.previous, last.next) == (f"L2N{NEURONS - 2}", None)
    assert neuron(labels, "before", 1, NEURONS - 1).neighbours.next == "L2N0"


def test_the_tour_stays_in_the_part(labels: Library) -> None:
    assert {stop.layer for stop in tour(labels, "lone")} <= {3}


def test_a_search_for_an_address_says_why_it_is_not_found(client: TestClient) -> None:
    answer = client.get("/api/v1/search?q=L0N7").json()
    assert answer["neurons"] == []
    assert (
        "The layer of L0N7 is not mapped: after has layers 1 to 2 of 4, before has layers 1 to 2 of 4, "
        "lone has layer 3 of 4."
    ) in answer["notes"]
    assert [ref["model"] for ref in client.get("/api/v1/search?q=L3N7").json()["neurons"]] == ["lone"]
    assert "There is no neuron L9N7" in " ".join(client.get("/api/v1/search?q=L9N7").json()["notes"])


def test_a_neuron_whose_layer_is_not_mapped_can_be_clamped(client: TestClient, labels: Library) -> None:
    request = ClampRequest(model="before", prompt="a", clamps=[Clamp(layer=0, index=7, value=3.0)])
    assert check_clamps(labels, request) == request
    page = text(client, "/playground?model=before&prompt=a&clamp=L0N7:up:set:3")
    assert REFUSAL.format(0) in page


def test_a_model_that_grew_alone_has_its_pair_in_the_part(tiny_llama: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "library", tmp_path / "library")
    MapRun(Settings(data=tmp_path)).map([str(tiny_llama)], ["before"])
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        alone = client.get("/api/v1/neurons/before/0/7").json()
        both = client.get("/api/v1/neurons/before/1/7").json()
        assert alone["counterpart"] is None and both["counterpart"]["model"] == "after"
        assert "/compare/before/after/0/7" not in client.get("/neurons/before/0/7").text
        assert "/compare/before/after/1/7" in client.get("/neurons/before/1/7").text
        refused = client.get("/compare/before/after/0/7")
        assert refused.status_code == 404 and "Layer 0 of after is not mapped" in refused.text
        assert "Only a part of after is mapped" in text(client, "/compare/before/after")


def test_the_doctor_tells_of_the_part(data: Path) -> None:
    (found,) = [check for check in examine(Settings(data=data, port=9)).checks if check.name == "library"]
    assert found.state == "ok"
    assert f"before (4 x {NEURONS} neurons, layers 1 to 2 mapped)" in found.says
    assert f"lone (4 x {NEURONS} neurons, layer 3 mapped)" in found.says
