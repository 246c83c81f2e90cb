"""A library of ten models answers as each of them would alone; one file that cannot be read takes no other down."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.labelfile.library import Library
from app.main import create_app
from app.queries.search.search import SearchQuery, search
from neuronym.contract import SearchResult
from neuronym.library import Catalogue, LabelFileEntry, replace_catalogue
from neuronym.settings import Settings
from tests.app.conftest import opened
from tests.app.file_copies import copy_file
from tests.app.label_files import planted_file, write_library

MODELS = 10
ASKED: list[dict[str, Any]] = [
    {"q": "California"},
    {"q": '" California"', "lens": "logit"},
    {"q": "dog, king", "side": "bottom"},
    {"q": "calico00*"},
    {"q": "filler3", "view": "down", "layer_min": 1},
    {"q": "filler3", "limit": 200, "sort": "score"},
    {"q": "California", "sort": "effect"},
]


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[LabelFileEntry, ...]]:
    """A data folder with ten copies of the planted models; each has scores, z and neurons of its own."""
    data = tmp_path_factory.mktemp("many")
    planted = write_library(data, publish=False).models
    copies = []
    for place in range(MODELS):
        copy = LabelFileEntry(name=f"copy-{place}", run="copied")
        changes = [
            f"update model set name = '{copy.name}'",
            f"update label_by_token set z = z + {(place * 7) % MODELS / 20}, score = score + {place / 50}, "
            f"neuron = (neuron + {place}) % 4, effect = effect + {place}",
        ]
        copies.append(copy_file(data, "model", planted[place % len(planted)], copy, *changes))
    return data, tuple(copies)


@pytest.fixture(scope="module")
def many(entries: tuple[Path, tuple[LabelFileEntry, ...]]) -> Library:
    """The library of all ten."""
    data, models = entries
    return library(data, models)


@pytest.fixture(scope="module")
def alone(entries: tuple[Path, tuple[LabelFileEntry, ...]]) -> dict[str, Library]:
    """Each of the ten in a library of its own."""
    data, models = entries
    return {entry.name: library(data, (entry,)) for entry in models}


def library(data: Path, models: tuple[LabelFileEntry, ...]) -> Library:
    replace_catalogue(data, Catalogue(run="copied", models=models))
    return next(opened(data))


def results(labels: Library, asked: dict[str, Any]) -> tuple[int, list[SearchResult]]:
    answer = search(labels, SearchQuery.model_validate({"limit": 100} | asked))
    return answer.total, answer.results


@pytest.mark.parametrize("asked", ASKED, ids=str)
def test_each_model_is_searched_as_if_it_were_alone(
    many: Library, alone: dict[str, Library], asked: dict[str, Any]
) -> None:
    singly = {name: results(labels, asked) for name, labels in alone.items()}
    for name, answer in singly.items():
        assert results(many, asked | {"model": name}) == answer
    total, found = results(many, asked)
    assert total == sum(count for count, _ in singly.values())
    assert len(found) == min(total, asked.get("limit", 100))
    for name, (_, expected) in singly.items():
        mine = [result for result in found if result.model == name]
        assert mine == expected[: len(mine)]  # a page ends after so many of all models together


def test_the_best_of_all_models_come_first(many: Library, alone: dict[str, Library]) -> None:
    every = [result for labels in alone.values() for result in results(labels, ASKED[0])[1]]
    assert len({result.model for result in every}) == MODELS
    _, found = results(many, ASKED[0])
    assert [result.z for result in found] == sorted((result.z for result in every), reverse=True)
    _, page = results(many, ASKED[0] | {"limit": 7, "offset": 5})
    assert page == found[5:12]


@pytest.fixture
def damaged(tmp_path: Path) -> Iterator[TestClient]:
    """The app on the planted library, in which the file of tiny-second is no label file."""
    write_library(tmp_path)
    planted_file(tmp_path, "tiny-second").write_bytes(b"no database at all" * 1000)
    with TestClient(create_app(Settings(data=tmp_path)), raise_server_exceptions=False) as client:
        yield client


def test_what_can_be_read_is_served_without_what_cannot(damaged: TestClient, client: TestClient) -> None:
    path = "/api/v1/search?q=California&limit=200"
    whole, left = (asked.get(path).json() for asked in (client, damaged))
    assert left["results"] == [result for result in whole["results"] if result["model"] != "tiny-second"]
    assert 0 < left["total"] < whole["total"]
    pairs = [[pair["name"] for pair in model["pairs"]] for model in damaged.get("/api/v1/models").json()["models"]]
    assert pairs == [["tiny-pair"], ["tiny-pair"], []]
    assert (
        damaged.get("/api/v1/compare/tiny-base/tiny-chat").json()
        == client.get("/api/v1/compare/tiny-base/tiny-chat").json()
    )


@pytest.mark.parametrize(
    "path",
    ["/models/tiny-second", "/neurons/tiny-second/2/1", "/layers/tiny-second/0", "/compare/tiny-base/tiny-second"],
)
def test_a_model_that_cannot_be_read_is_not_there(damaged: TestClient, path: str) -> None:
    for address in (path, f"/api/v1{path}"):
        assert damaged.get(address).status_code == 404


def test_a_pair_that_cannot_be_read_leaves_its_models(tmp_path: Path, client: TestClient) -> None:
    write_library(tmp_path)
    planted_file(tmp_path, "tiny-pair", "pair").unlink()
    with TestClient(create_app(Settings(data=tmp_path))) as left:
        assert left.get("/api/v1/compare/tiny-base/tiny-chat").status_code == 409
        path = "/api/v1/search?q=California&model=tiny-chat"
        expected = client.get(path).json()["results"]
        assert all(result["counterpart"] for result in expected)
        assert left.get(path).json()["results"] == [result | {"counterpart": None} for result in expected]
