"""The order `trust`: by strength, then by whether the measured effect holds, then by z; and the order `effect`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from starlette.testclient import TestClient

from app.labelfile.library import Library
from app.queries.search.search import SearchQuery, search
from neuronym.contract import Lens, Side, Strength, View
from tests.app.conftest import opened
from tests.app.label_files import FILLER, Plan, write_library

# description -> z, strength, and the effect for a label whose token is at the top
LABELS: dict[str, tuple[float, Strength | None, float | None]] = {
    "strong, reversed": (8, Strength.strong, -0.1),
    "strong, holds": (4, Strength.strong, 0.1),
    "strong, holds more": (3, Strength.strong, 2.0),
    "strong, never tried": (6, Strength.strong, None),
    "weak, holds": (20, Strength.weak, 3.0),
    "noise, holds": (30, Strength.noise, 4.0),
    "never judged, holds": (40, None, 5.0),
    "never judged": (50, None, None),
}
TRUSTED_FIRST = [
    *("strong, holds", "strong, holds more", "strong, reversed", "strong, never tried", "weak, holds"),
    *("noise, holds", "never judged, holds", "never judged"),
]
BY_EFFECT = [
    *("never judged, holds", "noise, holds", "weak, holds", "strong, holds more", "strong, holds", "strong, reversed"),
    *("never judged", "strong, never tried"),
]


JudgedFile = tuple[Library, Side]


@pytest.fixture(scope="module", params=Side)
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgedFile]:
    """A label file whose labels of ` dog`, at one side, are those of LABELS; each is a neuron of tiny-gpt."""
    side: Side = request.param
    sign = 1 if side is Side.top else -1
    plan = Plan()
    ends = plan.top if side is Side.top else plan.bottom
    for place, (z, strength, effect) in enumerate(LABELS.values()):
        key = ("tiny-gpt", View.down, Lens.cosine, place // 4, place % 4)
        ends[key] = [(" dog", sign * z)]
        if strength:
            plan.strength[key] = strength
        if effect is not None:
            plan.effects[key] = sign * effect
    data = tmp_path_factory.mktemp("judged")
    write_library(data, plan)
    for labels in opened(data):
        yield labels, side


def order(judged: JudgedFile, sort: str) -> list[str]:
    """The names of LABELS as a search sorts them."""
    labels, side = judged
    answer = search(labels, SearchQuery.model_validate({"q": '" dog"', "side": side, "sort": sort}))
    return [list(LABELS)[4 * result.layer + result.index] for result in answer.results]


def test_trusted_labels_come_first(judged: JudgedFile) -> None:
    assert order(judged, "trust") == TRUSTED_FIRST


def test_above_noise_a_label_that_names_the_token_comes_before_one_that_lists_it(tmp_path: Path) -> None:
    plan = Plan()
    listing = [(text, 9.0 - place) for place, text in enumerate(FILLER[:5])] + [(" dog", 3.5)]
    planted = (  # in the order that is expected
        ([(" dog", 3.0)], Strength.weak, -1.0),
        (listing, Strength.strong, 1.0),
        ([(" dog", 8.0)], Strength.noise, 1.0),
    )
    for index, (tokens, strength, effect) in enumerate(planted):
        key = ("tiny-gpt", View.down, Lens.cosine, 0, index)
        plan.top[key], plan.strength[key], plan.effects[key] = tokens, strength, effect
    write_library(tmp_path, plan)
    query = SearchQuery.model_validate({"q": '" dog"', "sort": "trust", "model": "tiny-gpt"})
    for labels in opened(tmp_path):
        assert [result.index for result in search(labels, query).results[:3]] == [0, 1, 2]


def test_the_largest_effect_in_the_labels_direction_comes_first(judged: JudgedFile) -> None:
    """Of bottom labels that is the most negative: a label that holds lowers its lowest token."""
    assert order(judged, "effect") == BY_EFFECT


def test_a_program_that_asks_for_no_order_gets_z(judged: JudgedFile) -> None:
    by_z = sorted(LABELS, key=lambda name: -LABELS[name][0])
    assert order(judged, "z") == by_z
    assert SearchQuery().sort == "z"


def test_models_of_a_pair_are_ordered_by_the_one_that_is_shown(tmp_path: Path) -> None:
    """The base is strong and holds; the row that people see is the tuned model's, which is noise."""
    plan = Plan()
    for index, (base, chat) in enumerate([("strong", "noise"), ("noise", "weak")]):
        for model, strength in (("tiny-base", base), ("tiny-chat", chat)):
            key = (model, View.up, Lens.cosine, 0, index)
            plan.top[key] = [(" dog", 9.0 - index)]
            plan.strength[key] = Strength(strength)
    write_library(tmp_path, plan)
    query = SearchQuery(q='" dog"', sort="trust", pair="tiny-pair")
    for labels in opened(tmp_path):
        assert [result.index for result in search(labels, query, folded=True).results] == [1, 1, 0, 0]
        assert [(result.model, result.index) for result in search(labels, query).results] == [
            *(("tiny-base", 0), ("tiny-chat", 1), ("tiny-chat", 0), ("tiny-base", 1))
        ]


SEARCHING = ["/", "/search", "/method", "/neurons/tiny-chat/2/1"]


@pytest.mark.parametrize("address", SEARCHING)
def test_every_search_box_asks_for_trusted_labels_first(client: TestClient, address: str) -> None:
    page = BeautifulSoup(client.get(address).text, "html.parser")
    (form,) = page.select('form[role="search"]')
    chosen = form.select_one('[name="sort"] [selected], input[name="sort"]')
    assert chosen is not None and chosen["value"] == "trust"


LINKING = ["/", "/search", "/search?q=New%20York", "/search?q=king&view=gate", "/search?q=dog&side=bottom&layer_min=2"]


@pytest.mark.parametrize("address", LINKING)
def test_every_link_to_a_search_asks_for_trusted_labels_first(client: TestClient, address: str) -> None:
    page = BeautifulSoup(client.get(address).text, "html.parser")
    links = [str(link["href"]) for link in page.select('main a[href^="/search?"]')]
    assert links and all("sort=trust" in link for link in links)


def test_the_order_is_part_of_the_address(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/search?q=California").text, "html.parser")
    assert page.select_one("#sort [selected]")["value"] == "z"  # type: ignore[index]
    trusted = client.get("/search?q=California&sort=trust&view=", follow_redirects=False)
    assert trusted.headers["Location"] == "/search?q=California&sort=trust"
    shown = BeautifulSoup(client.get("/search?q=California&sort=trust").text, "html.parser")
    assert shown.select_one("#sort [selected]")["value"] == "trust"  # type: ignore[index]
    assert shown.select_one('link[rel="alternate"]')["href"] == "/api/v1/search?q=California&sort=trust"  # type: ignore[index]
    assert not shown.select("details.filters[open]")
