"""A pair whose model was mapped again says so, in JSON and on its pages, and still shows what was compared."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from neuronym.library import Catalogue, LabelFileEntry, replace_catalogue
from neuronym.settings import Settings
from tests.app.file_copies import copy_file, with_model
from tests.app.label_files import NOTE, write_library

AGAIN = "Since the two were compared, tiny-chat was mapped again: map the pair again to compare the labels of today."
PAIR, LATER = "/compare/tiny-base/tiny-chat", "/compare/tiny-base/tiny-second"
PARTS = ("", "/changed", "/concepts", "/0/0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the planted library."""
    return tmp_path_factory.mktemp("renewed")


@pytest.fixture(scope="module")
def catalogue(data: Path) -> Catalogue:
    """The catalogue of the planted library."""
    return write_library(data)


@pytest.fixture
def client(data: Path, catalogue: Catalogue) -> Iterator[TestClient]:
    """The app on the planted library."""
    replace_catalogue(data, catalogue)
    with TestClient(create_app(Settings(data=data))) as client:
        yield client


def renew(data: Path, catalogue: Catalogue, name: str, run: str, *changes: str) -> None:
    """Publish a copy of a model's file as that of another run."""
    planted = catalogue.find("model", name)
    assert planted
    copied = copy_file(data, "model", planted, LabelFileEntry(name=name, run=run), *changes)
    replace_catalogue(data, with_model(catalogue, copied, run))


def answers(client: TestClient, path: str) -> list[dict[str, Any]]:
    return [client.get(f"/api/v1{path}{part}").raise_for_status().json() for part in PARTS]


def facts(told: Any) -> Any:
    """What is told of a pair, without its note and the state of the library."""
    if isinstance(told, dict):
        return {name: facts(value) for name, value in told.items() if name not in ("run", "note")}
    return [facts(value) for value in told] if isinstance(told, list) else told


def test_each_answer_and_page_of_an_outdated_pair_says_so_and_has_its_facts(
    client: TestClient, data: Path, catalogue: Catalogue
) -> None:
    before, other = answers(client, PAIR), answers(client, LATER)
    renew(data, catalogue, "tiny-chat", "mapped-again", "update model set mapped_in = 'mapped-2'")
    after = answers(client, PAIR)
    assert {answer["note"] for answer in before} == {NOTE}
    assert {answer["note"] for answer in after} == {f"{NOTE} {AGAIN}"}
    assert [facts(answer) for answer in after] == [facts(answer) for answer in before]
    assert [facts(answer) for answer in answers(client, LATER)] == [facts(answer) for answer in other]
    assert {answer["note"] for answer in other} == {answer["note"] for answer in answers(client, LATER)} == {None}
    for part in PARTS:
        assert AGAIN in client.get(PAIR + part).text
        assert "mapped again" not in client.get(LATER + part).text


def test_a_model_names_the_pairs_that_are_outdated(client: TestClient, data: Path, catalogue: Catalogue) -> None:
    renew(data, catalogue, "tiny-base", "both-again", "update model set mapped_in = 'mapped-2'")
    notes = [pair["note"] for pair in client.get("/api/v1/models/tiny-base").json()["pairs"]]
    again = AGAIN.replace("tiny-chat", "tiny-base")
    assert notes == [f"{NOTE} {again}", again]


def test_measuring_a_model_outdates_no_pair(client: TestClient, data: Path, catalogue: Catalogue) -> None:
    renew(data, catalogue, "tiny-chat", "measured", "update build set run = 'measured'", "delete from measurement")
    after = answers(client, PAIR)
    assert {(answer["run"], answer["note"]) for answer in after} == {("measured", NOTE)}
