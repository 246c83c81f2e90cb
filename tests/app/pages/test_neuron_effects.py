"""The effects of clamping on a label, in the answer and in the words of the page."""

import pytest
from bs4 import BeautifulSoup
from starlette.testclient import TestClient

from app.html.templates import templates
from app.html.text import ordinal
from app.labelfile.library import Library
from app.pages.neuron_effects import changes, clamped_ends, clamps, measured_clamp
from app.queries.layers import LayerQuery, layer
from app.queries.neuron import neuron
from neuronym.contract import Direction, Lens, NeuronAnswer, Side, Site, View
from neuronym.label_tables import label_place

environment = templates.env


@pytest.fixture(scope="module")
def answer(labels: Library) -> NeuronAnswer:
    """L2N1 of tiny-chat, whose planted effects are the `label_place` of each label."""
    return neuron(labels, "tiny-chat", 2, 1)


def test_an_effect_names_both_ends_of_every_label_there_is(answer: NeuronAnswer) -> None:
    assert answer.effect is not None
    effects = answer.effect[Site.act][Direction.low].labels
    missing = (View.gate, Lens.logit, Side.bottom)
    ends = {(view, lens, side) for view in View for lens in Lens for side in Side} - {missing}
    assert {(effect.view, effect.lens, effect.side) for effect in effects} == ends
    assert all(effect.delta == effect.rank == label_place(effect.view, effect.lens, effect.side) for effect in effects)
    assert {(effect.token.text, effect.control) for effect in effects} == {(" California", -0.25)}


def test_a_label_is_tried_at_the_end_that_names_it_and_at_its_views_own_site(answer: NeuronAnswer) -> None:
    high = measured_clamp(answer, View.up, Lens.cosine, Direction.high, 320)
    assert high is not None
    assert (high.site, high.delta, high.control, high.place, high.outcome) == (Site.up, 1, -0.25, "2nd", "holds")
    down = measured_clamp(answer, View.down, Lens.logit, Direction.high, 320)
    assert down is not None
    end = answer.views[View.down][Lens.logit].named_by
    assert (down.site, down.delta) == (Site.act, label_place(View.down, Lens.logit, end))


def test_clamped_low_the_highest_token_should_fall(answer: NeuronAnswer) -> None:
    low = measured_clamp(answer, View.up, Lens.cosine, Direction.low, 320)
    assert low is not None
    assert low.outcome == "reversed"


def test_of_a_token_that_falls_the_place_is_counted_from_the_furthest_fall(answer: NeuronAnswer) -> None:
    assert answer.effect is not None
    labels = answer.effect[Site.up][Direction.high].labels
    fallen = [label.model_copy(update={"delta": -0.5, "rank": 318}) for label in labels]
    effect = answer.effect[Site.up][Direction.high].model_copy(update={"labels": fallen})
    changed = answer.model_copy(update={"effect": {Site.up: {Direction.high: effect}}})
    high = measured_clamp(changed, View.up, Lens.cosine, Direction.high, 320)
    assert high is not None
    assert (high.place, high.outcome) == ("2nd", "reversed")


def test_a_token_that_stays_where_it_was_neither_holds_nor_is_reversed(answer: NeuronAnswer) -> None:
    assert answer.effect is not None
    high = answer.effect[Site.up][Direction.high]
    still = [label.model_copy(update={"delta": 0.0}) for label in high.labels]
    changed = answer.model_copy(
        update={"effect": {Site.up: {Direction.high: high.model_copy(update={"labels": still})}}}
    )
    clamp = measured_clamp(changed, View.up, Lens.cosine, Direction.high, 320)
    assert clamp is not None
    assert clamp.outcome is None
    html = environment.from_string("{{ ui.trial(clamp, 320) }}").render(clamp=clamp)
    assert BeautifulSoup(html, "html.parser").text.split()[:2] == ["Clamped", "high,"]


def test_the_names_of_all_views_and_every_change(answer: NeuronAnswer) -> None:
    assert [end.view for end in clamped_ends(answer, Lens.cosine, 320)] == [View.gate, View.up, View.down]
    assert clamps(answer) == [(site, direction) for site in (Site.up, Site.act) for direction in Direction]
    ends = changes(answer)
    assert len(ends) == 11
    assert all(end.deltas == [label_place(end.view, end.lens, end.side)] * 4 for end in ends)


def test_what_was_not_measured_is_not_told(labels: Library) -> None:
    other = neuron(labels, "tiny-gpt", 0, 2)
    assert measured_clamp(other, View.down, Lens.cosine, Direction.high, 320) is None
    assert (clamped_ends(other, Lens.cosine, 320), clamps(other), changes(other)) == ([], [], [])


PLACES = [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (21, "21st"), (1113, "1,113th")]


@pytest.mark.parametrize(("place", "text"), PLACES)
def test_places_in_a_row(place: int, text: str) -> None:
    assert ordinal(place) == text


def test_the_card_of_a_view_says_whether_its_name_holds(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/neurons/tiny-chat/2/1").text, "html.parser")
    card = page.select_one('[aria-labelledby="up-cosine"]')
    assert card is not None
    sentences = [" ".join(line.text.split()) for line in card.select(".trial, .chance")]
    assert sentences == [
        "holds Clamped high, California rises by 1.00 nats, 2nd of 320; another neuron’s token falls by 0.25 nats.",
        "25% of the strong up labels of this layer are expected by chance.",
    ]
    assert [" ".join(end.text.split()) for end in card.select(".end")] == ["9.0 σ strong", "−2.0 σ noise"]


def test_a_row_says_in_words_and_signs_what_a_clamp_does(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/search?q=California&model=tiny-chat&view=down").text, "html.parser")
    rows = [(row.select(".neuron")[0].text, row.select("td.tried")[0].text) for row in page.select("tbody tr")]
    effects = {name: " ".join(text.split()) for name, text in rows}
    assert effects == {"L0N0": "effect raises +2.50 holds", "L1N3": "effect lowers −0.50 reversed"}
    assert "whichever token was searched for" in str(page.select_one("th.tried abbr")["title"])  # type: ignore[index]


def test_the_bottom_of_a_label_is_shown_where_it_was_searched(client: TestClient) -> None:
    page = BeautifulSoup(client.get("/search?q=dog&side=bottom").text, "html.parser")
    row = page.select("table.found tbody tr")[0]
    assert [chip.text for chip in row.select("td.chips > .token")][:2] == ["dog", " California"]
    assert [mark.text for mark in row.select("mark")] == ["dog"]


def test_a_layer_by_trust_names_neurons_by_the_end_that_stands_out(labels: Library, client: TestClient) -> None:
    first, second, *_ = layer(labels, "tiny-chat", 1, LayerQuery(sort="trust")).results
    assert (first.neuron, first.named_by) == ("L1N1", Side.bottom)
    assert first.named_z == pytest.approx(-7, abs=1e-5)
    assert [token.text for token in first.bottom_tokens[:2]] == ["dog", " California"]
    assert second.neuron == "L1N0"
    strongest = layer(labels, "tiny-chat", 2, LayerQuery(sort="trust")).results[0]
    assert (strongest.neuron, strongest.effect) == ("L2N1", 1)
    page = BeautifulSoup(client.get("/layers/tiny-chat/1?sort=trust").text, "html.parser")
    row = " ".join(page.select("table.found tbody tr")[0].text.split())
    assert row.startswith("L1N1 against dog California")
    assert "trusted labels first" in page.select_one(".lead").text  # type: ignore[union-attr]
