"""While the first model is being mapped: what pages, questions, probes and the doctor say, and that they tell when it
has come, in part or as a whole, or has failed."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.cli.commands import main
from app.labelfile.mapping_status import MappingStatus
from app.main import create_app
from neuronym.contract import ErrorAnswer, MappingLine, Published, View
from neuronym.settings import Settings
from tests.app.label_files import write_library
from tests.serving import served
from worker.map_run import MapRun
from worker.mapping.recipe import MapRecipe

PLAN = '{"steps": [{"model": "tiny", "views": ["down"]}, {"model": "tiny", "views": ["up", "gate"]}], "pair": "both"}'
MAPPED = '{"layers_done": 1, "layers": 4}'
NOW = "Mapping tiny: its down view, layer 2 of 4."
WAITING = "The first names are on their way"
LATER = "Next: its gate and up views, then what differs between the two models of the pair."
FAILED = '{"failed": "The disk is full. Make room."}'
STOPPED = "The mapping stopped: The disk is full. Make room."


@pytest.fixture
def mapping() -> MappingStatus:
    """A mapping at work on its first view."""
    status = MappingStatus()
    status.begin("a folder")
    for line in (PLAN, '{"step": 0}', MAPPED):
        status.read(line)
    return status


@pytest.fixture
def client(tmp_path: Path, mapping: MappingStatus) -> Iterator[TestClient]:
    """An app with nothing mapped yet, and the mapping beside it."""
    with TestClient(create_app(Settings(data=tmp_path), mapping)) as client:
        yield client


def map_views(data: Path, model: Path, *views: View) -> None:
    MapRun(Settings(data=data), MapRecipe(views=views)).map([str(model)], ["tiny"])


def notice(page: str) -> BeautifulSoup:
    """What a page says of the mapping."""
    return BeautifulSoup(page, "html.parser")


def poll(page: str) -> str:
    """The address at which a page looks how far the mapping is."""
    (section,) = notice(page).select("#mapping")
    assert section["hx-trigger"] == "every 2s"
    return str(section["hx-get"])


@pytest.mark.parametrize("path", ["/", "/search?q=dog", "/models", "/neurons/tiny/0/0", "/playground"])
def test_every_page_says_how_far_it_is_and_waits(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    (section,) = notice(answer.text).select("main #mapping")
    assert NOW in section.text and LATER in section.text and WAITING in answer.text
    assert "Without scripts" in section.select_one("noscript").text  # type: ignore[union-attr]
    assert "HX-Refresh" not in client.get(poll(answer.text)).headers


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/search?q=dog", "/api/v1/neurons/tiny/0/0"])
def test_questions_are_refused_in_the_one_shape(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    assert ErrorAnswer.model_validate(answer.json()).errors == ["No model is mapped yet.", NOW]


def test_probes_tell_the_truth(client: TestClient) -> None:
    alive = client.get("/healthz")
    assert alive.status_code == 200
    assert alive.json()["mapping"] == {"state": "running", "says": f"{NOW} {LATER}", "share": round(1 / 4 / 3, 3)}
    ready = client.get("/readyz")
    assert ready.status_code == 503 and NOW in ready.json()["errors"]


def test_a_page_that_waits_is_loaded_again_once_there_are_names(
    client: TestClient, mapping: MappingStatus, tiny_llama: Path, tmp_path: Path
) -> None:
    waiting = client.get("/").text
    method = client.get("/method").text
    map_views(tmp_path, tiny_llama, View.down)
    mapping.read('{"step": 1}')
    assert client.get(poll(waiting)).headers["HX-Refresh"] == "true"
    assert "HX-Refresh" not in client.get(poll(method)).headers  # it shows nothing that has changed

    page = client.get("/").text
    assert "Mapping tiny: its gate and up views, the first layer." in notice(page).select_one("body > #mapping").text  # type: ignore[union-attr]
    assert client.get("/api/v1/search?q=a*").json()["results"]
    found = client.get("/api/v1/search?q=a*&limit=500").json()["results"]
    assert {result["view"] for result in found} == {"down"}
    for path in ("/neurons/tiny/0/0", "/models/tiny"):
        page = client.get(path).text
        assert "Its gate and up views are being mapped and will be here soon." in page
        (layer, *_) = notice(page).select('a[href^="/layers/tiny/0"]')
        assert client.get(str(layer["href"])).status_code == 200  # of the view that there is
    refused = client.get("/layers/tiny/0?view=up")
    assert refused.status_code == 422 and "Mapping tiny: its gate and up views" in refused.text
    assert "the first is on its way" in client.get("/compare").text


def test_a_page_of_before_says_that_there_is_more(
    client: TestClient, mapping: MappingStatus, tiny_llama: Path, tmp_path: Path
) -> None:
    map_views(tmp_path, tiny_llama, View.down)
    mapping.read('{"step": 1}')
    before = client.get("/").text
    assert "Reload" not in notice(client.get(poll(before)).text).get_text().replace("reloaded", "")
    map_views(tmp_path, tiny_llama, *View)
    (told,) = notice(client.get(poll(before)).text).select("[data-announce]")
    assert "More names are there. Reload this page" in " ".join(told.text.split())
    assert "data-said" not in told.attrs
    again = client.get(poll(client.get(poll(before)).text)).text
    assert "data-said" in notice(again).select_one("[data-announce]").attrs  # type: ignore[union-attr]
    mapping.end(0)
    (last,) = notice(client.get(poll(before)).text).select("#mapping")
    assert "All is mapped. Reload this page" in " ".join(last.text.split())
    assert "hx-get" not in last.attrs
    assert not notice(client.get("/").text).select("#mapping")
    assert "Its gate" not in client.get("/neurons/tiny/0/0").text


def test_a_mapping_that_failed_is_told_and_serving_goes_on(
    client: TestClient, mapping: MappingStatus, tiny_llama: Path, tmp_path: Path
) -> None:
    mapping.read(FAILED)
    for path in ("/", "/api/v1/models", "/readyz"):
        answer = client.get(path)
        assert answer.status_code == 503 and STOPPED in answer.text
        assert "every 2s" not in answer.text and WAITING not in answer.text
    assert client.get("/healthz").json()["mapping"]["state"] == "failed"
    map_views(tmp_path, tiny_llama, View.down)
    (section,) = notice(client.get("/").text).select("#mapping")
    assert STOPPED in section.text and "hx-get" not in section.attrs
    assert "Its gate and up views are not mapped yet: the mapping stopped." in client.get("/models/tiny").text


def test_no_request_fails_while_views_are_published(tiny_llama: Path, tmp_path: Path) -> None:
    asked = ("/api/v1/search?q=a*", "/neurons/tiny/0/0", "/", "/models/tiny")
    statuses: list[int] = []
    there, done = threading.Event(), threading.Event()

    def look(line: MappingLine) -> None:
        if isinstance(line, Published):
            there.set()

    with TestClient(create_app(Settings(data=tmp_path))) as client:

        def read() -> None:
            there.wait()
            while not done.is_set():
                statuses.extend(client.get(path).status_code for path in asked)

        reader = threading.Thread(target=read)
        reader.start()
        MapRun(Settings(data=tmp_path), early=True, announce=look).map([str(tiny_llama)], ["tiny"])
        done.set()
        reader.join()
        assert set(client.get("/api/v1/neurons/tiny/0/0").json()["views"]) == set(View)
    assert set(statuses) == {200}


def test_a_library_that_is_there_is_served_as_ever(tmp_path: Path) -> None:
    write_library(tmp_path)
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        assert not notice(client.get("/").text).select("#mapping")
        assert client.get("/healthz").json()["mapping"] is None


def test_who_may_not_read_is_told_nothing(tmp_path: Path, mapping: MappingStatus) -> None:
    token = "a token of some length"
    settings = Settings(data=tmp_path, token=SecretStr(token), private=True)
    with TestClient(create_app(settings, mapping)) as client:
        for path in ("/", "/sign-in", "/nowhere", "/mapping"):
            assert "tiny" not in client.get(path).text
        assert NOW in client.get("/", headers={"Authorization": f"Bearer {token}"}).text


@pytest.mark.parametrize(("line", "says", "state"), [(MAPPED, NOW, "note"), (FAILED, STOPPED, "wrong")])
def test_the_doctor_says_so(tmp_path: Path, mapping: MappingStatus, line: str, says: str, state: str) -> None:
    mapping.read(line)
    with served(create_app(Settings(data=tmp_path), mapping)) as address:
        asked = {"NEURONYM_DATA": str(tmp_path), "NEURONYM_PORT": str(httpx2.URL(address).port)}
        ended = CliRunner().invoke(main, ["doctor", "--json"], env=asked)
    checks = {check["name"]: check for check in json.loads(ended.output)["checks"]}
    assert {name: checks[name]["state"] for name in ("library", "mapping", "worker")} == dict.fromkeys(
        ("library", "mapping", "worker"), state
    )
    assert says in checks["mapping"]["says"]
    assert ended.exit_code == (0 if state == "note" else 1)
