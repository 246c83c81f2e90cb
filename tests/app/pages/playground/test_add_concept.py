"""Neurons added to the playground by the word they write."""

from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup
from starlette.testclient import TestClient

from app.errors import Unprocessable
from app.labelfile.library import Library
from app.pages.playground.add_concept import NEURONS, add_concept
from app.pages.playground.state import ClampRow, Composition
from app.queries.search.search import SearchQuery, search

FORM = {"model": "tiny-chat", "kind": "prompt", "text": "x", "act": "concept"}


def test_the_neurons_are_those_a_search_gives(labels: Library) -> None:
    rows = add_concept(labels, Composition(model="tiny-chat"), "dog").rows
    query = SearchQuery.model_validate({"q": "dog", "model": "tiny-chat"})
    assert {row.neuron for row in rows} <= {result.neuron for result in search(labels, query).results}
    assert 0 < len(rows) <= NEURONS
    assert {row.mode for row in rows} == {"add"}
    assert all(float(row.value) for row in rows)


def test_rows_that_are_there_stay_and_come_once(labels: Library) -> None:
    composition = add_concept(
        labels, Composition(model="tiny-chat", rows=(ClampRow("L0N3", "up", "set", "2"), ClampRow())), "dog"
    )
    assert composition.rows[0] == ClampRow("L0N3", "up", "set", "2")
    names = [row.neuron for row in composition.rows]
    assert len(names) == len(set(names)) and "" not in names


@pytest.mark.parametrize("word", ["", "nowhere"])
def test_a_word_that_no_neuron_writes_is_refused(labels: Library, word: str) -> None:
    with pytest.raises(Unprocessable):
        add_concept(labels, Composition(model="tiny-chat"), word)


def test_the_button_works_without_a_script(client: TestClient) -> None:
    response = client.post("/playground", data=FORM | {"concept": "dog"}, follow_redirects=False)
    assert response.status_code == 303
    assert parse_qs(urlsplit(response.headers["location"]).query)["clamp"]
    page = BeautifulSoup(client.post("/playground", data=FORM | {"concept": "nowhere"}).text, "html.parser")
    problem = page.select_one("#concept-problem")
    assert problem is not None and "nowhere" in problem.text
