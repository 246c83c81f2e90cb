"""A neuron's own range: the unit of the playground's slider, and the value of its first clamp."""

from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup
from starlette.testclient import TestClient

from app.labelfile.library import Library
from app.pages.playground.ranges import OwnRange, first_clamp, own_range
from app.pages.playground.state import ClampRow
from app.queries.neuron import neuron
from neuronym.contract import ActivityAnswer, NeuronAnswer, Site

PARTIAL = {"HX-Request-Type": "partial"}
SET = ClampRow("L2N1", "up", "set", "18")


@pytest.fixture
def measured(labels: Library) -> NeuronAnswer:
    """A neuron whose quantiles are planted as their indices, so that its unit is 9, at the sites up and act."""
    return neuron(labels, "tiny-chat", 2, 1)


def test_the_unit_is_the_high_end_of_the_range(measured: NeuronAnswer) -> None:
    assert own_range(measured, SET) == OwnRange(9.0, 8)
    assert own_range(measured, SET._replace(value="-\u2212")) == OwnRange(9.0, 8)
    assert own_range(measured, SET._replace(value="\u2212180")) == OwnRange(9.0, 20)


@pytest.mark.parametrize("row", [SET._replace(site="gate"), SET._replace(mode="scale"), SET._replace(site="side")])
def test_where_there_is_no_unit(measured: NeuronAnswer, row: ClampRow) -> None:
    assert own_range(measured, row) is None


def test_a_neuron_of_which_nothing_is_measured(labels: Library) -> None:
    nobody = neuron(labels, "tiny-chat", 0, 0)
    assert own_range(nobody, SET) is None
    assert first_clamp(nobody) == ClampRow("L0N0", "up", "set", "20")


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
def test_a_slider_stays_usable(measured: NeuronAnswer, value: str) -> None:
    assert own_range(measured, SET._replace(value=value)) == OwnRange(9.0, 8)
    low = measured.model_copy(update={"activity": {Site.up: _activity(low=-20.0, high=-1e-300)}})
    slider = own_range(low, SET)
    assert slider is not None and slider.reach == 1000
    flat = measured.model_copy(update={"activity": {Site.up: _activity(low=0.0, high=0.0)}})
    assert own_range(flat, SET) is None


@pytest.mark.parametrize(
    ("low", "typed", "reach"),
    [
        (0.0, "1", 8),  # no less than 8 units
        (-3.0, "1", 8),
        (-12.0, "1", 12),  # its own low end, -6 units, twice over
        (-12.5, "1", 13),  # whole units
        (-12.0, "\u221270", 35),  # as far as what is typed, to either side
        (0.0, "2000", 1000),
        (0.0, "2002", 8),  # nobody would find their way on such a slider
        (-2000.0, "1", 1000),
    ],
)
def test_a_slider_reaches_its_own_low_end_twice_over_and_what_is_typed(
    measured: NeuronAnswer, low: float, typed: str, reach: int
) -> None:
    answer = measured.model_copy(update={"activity": {Site.up: _activity(low=low, high=2.0)}})
    assert own_range(answer, SET._replace(value=typed)) == OwnRange(2.0, reach)


@pytest.mark.parametrize(("reach", "step"), [(8, 0.1), (9, 0.2), (16, 0.2), (17, 0.3), (100, 1.3), (1000, 12.5)])
def test_a_key_moves_a_slider_by_a_tenth_of_a_unit_or_so_that_eighty_presses_reach_the_end(
    reach: int, step: float
) -> None:
    assert OwnRange(1.0, reach).step == step


def _activity(low: float, high: float) -> ActivityAnswer:
    values = [low] * 2 + [0.0] * 7 + [high] * 2
    return ActivityAnswer(p=[0.0] * 11, q=values, fires=None, contexts=[])


def test_the_first_clamp_is_where_the_name_rises_most(measured: NeuronAnswer) -> None:
    assert first_clamp(measured) == ClampRow("L2N1", "act", "set", "12")
    assert first_clamp(measured, Site.up) == ClampRow("L2N1", "up", "set", "12")
    assert first_clamp(measured.model_copy(update={"effect": None})) == ClampRow("L2N1", "up", "set", "36")
    assert first_clamp(measured, Site.gate) == ClampRow("L2N1", "gate", "set", "20")


def test_the_neurons_page_links_to_its_own_first_clamp(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/neurons/tiny-chat/2/1").text, "html.parser")
    link = page.select_one("[data-clamp]")
    assert link is not None
    assert parse_qs(urlsplit(str(link["href"])).query) == {"model": ["tiny-chat"], "clamp": ["L2N1:act:set:12"]}


def test_a_row_brings_its_slider(client: TestClient) -> None:
    link = "/playground?model=tiny-chat&clamp=L2N1:up:set:18&clamp=L0N0:up:set:1"
    page = BeautifulSoup(client.get(link).text, "html.parser")
    (slider,) = page.select("[data-own]")
    assert (slider["id"], slider["data-own"], slider["min"], slider["max"]) == ("own-0", "9.0", "-8", "8")
    form = {"act": "name-0", "model": "tiny-chat", "neuron": "L2N1", "site": "gate", "mode": "set", "value": "1"}
    assert "data-own" not in client.post("/playground", data=form, headers=PARTIAL).text
    assert "data-own" in client.post("/playground", data=form | {"site": "act"}, headers=PARTIAL).text


def test_another_model_looks_its_own_neurons_up(client: TestClient) -> None:
    form = {"act": "model", "model": "tiny-second", "neuron": "L2N1", "site": "up", "mode": "set", "value": "1"}
    rows = BeautifulSoup(client.post("/playground", data=form, headers=PARTIAL).text, "html.parser")
    link = rows.select_one("#name-0 a")
    assert link is not None and str(link["href"]).startswith("/neurons/tiny-second/")
    assert not rows.select("[data-own]")
