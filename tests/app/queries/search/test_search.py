"""The search against planted labels: what is found, in which order, under which filters."""

from typing import Any

import pytest

from app.errors import NotFound, Unprocessable
from app.labelfile.library import Library
from app.queries.search.search import SearchQuery, search
from neuronym.contract import Lens, SearchAnswer, SearchResult, Side, Strength, View
from tests.app.label_files import FILLER, HASHES, token_ids


def ask(labels: Library, q: str = "California", **filters: Any) -> SearchAnswer:
    return search(labels, SearchQuery(q=q, **filters))


def found_neurons(answer: SearchAnswer) -> list[tuple[str, str, str, str]]:
    return [(result.model, result.neuron, result.view.value, result.token) for result in answer.results]


def test_every_model_and_view_best_first(labels: Library) -> None:
    answer = ask(labels)
    assert found_neurons(answer) == [
        ("tiny-chat", "L2N1", "up", " California"),
        ("tiny-gpt", "L0N2", "down", " California"),
        ("tiny-base", "L2N1", "up", " California"),
        ("tiny-chat", "L0N0", "down", "CALIFORNIA"),
        ("tiny-second", "L2N1", "up", " California"),
        ("tiny-chat", "L1N3", "down", " California"),
    ]
    assert answer.total == 6
    assert answer.run == "planted-1"
    assert {(token.text, token.tokenizer) for token in answer.tokens} == {
        (text, hash_) for text in (" California", "California", " california", "CALIFORNIA") for hash_ in HASHES
    }


def test_a_result_has_all_that_a_row_shows(labels: Library) -> None:
    result = ask(labels).results[0]
    ids = token_ids(0)
    assert result.model_dump(exclude={"top_tokens", "counterpart"}) == {
        "model": "tiny-chat",
        "neuron": "L2N1",
        "layer": 2,
        "index": 1,
        "view": View.up,
        "lens": Lens.cosine,
        "side": Side.top,
        "rank": 0,
        "token_id": ids[" California"],
        "token": " California",
        "score": pytest.approx(4.6),
        "z": pytest.approx(9.0, abs=1e-5),
        "matches": [{"token_id": ids["California"], "text": "California"}],
        "strength": Strength.strong,
        "layer_z": pytest.approx(1.5),
        "bottom_tokens": None,
        "effect": None,
    }
    assert [token.text for token in result.top_tokens[:4]] == [" California", " dog", "California", "Los"]
    assert len(result.top_tokens) == 5


def test_one_result_a_label_with_its_other_matches_best_first(labels: Library) -> None:
    answer = ask(labels, "dog, puppy", view="gate")
    assert found_neurons(answer) == [("tiny-chat", "L1N1", "gate", " dog")]
    assert [token.text for token in answer.results[0].matches] == ["dog", " puppy"]


def test_lenses_are_apart(labels: Library) -> None:
    assert found_neurons(ask(labels, lens="logit")) == [("tiny-chat", "L1N3", "down", " California")]


def test_bottom_begins_with_the_most_negative(labels: Library) -> None:
    answer = ask(labels, side="bottom")
    neurons = [(result.neuron, round(result.z, 3), result.rank) for result in answer.results]
    assert neurons == [("L1N1", -6.5, 1), ("L1N0", -5, 0)]
    assert [result.neuron for result in ask(labels, side="bottom", min_z=6).results] == ["L1N1"]
    by_score = ask(labels, "dog, California", side="bottom", sort="score")
    assert [result.neuron for result in by_score.results] == ["L1N1", "L1N0"]
    both = ask(labels, "dog, California", side="bottom").results[0]
    assert (both.token, [token.text for token in both.matches]) == ("dog", [" California"])
    assert both.bottom_tokens is not None
    assert [token.text for token in both.bottom_tokens[:2]] == ["dog", " California"]
    assert "dog" not in [token.text for token in both.top_tokens]


@pytest.mark.parametrize(
    ("filters", "neurons"),
    [
        ({"model": "tiny-gpt"}, ["L0N2"]),
        ({"pair": "tiny-pair"}, ["L2N1", "L2N1", "L0N0", "L1N3"]),
        ({"pair": "tiny-pair", "model": "tiny-base"}, ["L2N1"]),
        ({"view": "down"}, ["L0N2", "L0N0", "L1N3"]),
        ({"view": "gate"}, []),
        ({"layer_min": 1, "model": "tiny-chat"}, ["L2N1", "L1N3"]),
        ({"layer_max": 1, "model": "tiny-chat"}, ["L0N0", "L1N3"]),
        ({"layer_min": 1, "layer_max": 1}, ["L1N3"]),
        ({"min_z": 7.5}, ["L2N1", "L0N2", "L2N1"]),
        ({"strength": "strong"}, ["L2N1"]),
        ({"strength": "noise"}, []),
        ({"agreement": "same"}, ["L2N1", "L2N1", "L1N3"]),
        ({"agreement": "changed"}, ["L0N0", "L2N1"]),
        ({"agreement": "changed", "pair": "tiny-pair"}, ["L0N0"]),
    ],
)
def test_filters(labels: Library, filters: dict[str, Any], neurons: list[str]) -> None:
    answer = ask(labels, **filters)
    assert [result.neuron for result in answer.results] == neurons
    assert answer.total == len(neurons)


def test_agreement_in_a_pair_that_is_not_the_first_of_its_model(labels: Library) -> None:
    """tiny-base agrees in tiny-pair, its first, and does not in tiny-later."""
    changed = ask(labels, pair="tiny-later", agreement="changed")
    neurons = [(result.model, result.neuron) for result in changed.results]
    assert neurons == [("tiny-base", "L2N1"), ("tiny-second", "L2N1")]
    assert changed.total == 2
    assert ask(labels, pair="tiny-later", agreement="same").total == 0
    assert ask(labels, pair="tiny-later", model="tiny-base", agreement="changed").total == 1


def test_the_counterpart_is_that_of_the_models_first_pair(labels: Library) -> None:
    by_model = {(result.model, result.neuron): result.counterpart for result in ask(labels).results}
    base = by_model["tiny-base", "L2N1"]
    assert base is not None
    assert (base.model, base.same_top) == ("tiny-chat", True)
    assert base.cosine == pytest.approx(0.9)
    assert [token.text for token in base.top_tokens[:2]] == [" California", " dog"]
    second = by_model["tiny-second", "L2N1"]
    assert second is not None
    assert (second.model, second.same_top) == ("tiny-base", False)
    assert second.cosine == pytest.approx(0.8)
    assert by_model["tiny-gpt", "L0N2"] is None


def test_the_counterpart_in_the_pair_that_is_asked_for(labels: Library) -> None:
    counterpart = ask(labels, pair="tiny-later", model="tiny-base").results[0].counterpart
    assert counterpart is not None
    assert (counterpart.model, counterpart.top_tokens[0].text) == ("tiny-second", "Los")


@pytest.mark.parametrize(
    ("sort", "neurons"),
    [
        ("z", ["L2N1", "L0N0", "L1N3"]),
        ("score", ["L2N1", "L0N0", "L1N3"]),
        ("effect", ["L0N0", "L1N3", "L2N1"]),
        ("layer_z", ["L0N0", "L2N1", "L1N3"]),
        ("neuron", ["L0N0", "L1N3", "L2N1"]),
    ],
)
def test_sorting_puts_the_unmeasured_last(labels: Library, sort: str, neurons: list[str]) -> None:
    assert [result.neuron for result in ask(labels, model="tiny-chat", sort=sort).results] == neurons


@pytest.mark.parametrize("sort", ["z", "trust", "score", "effect", "layer_z", "neuron"])
@pytest.mark.parametrize("side", ["top", "bottom"])
def test_pages_neither_overlap_nor_leave_a_gap(labels: Library, sort: str, side: str) -> None:
    """Fillers have many ties: only the tie-break keeps pages apart."""

    def key(result: SearchResult) -> tuple[str, str, View, Lens]:
        return result.model, result.neuron, result.view, result.lens

    q = ",".join(FILLER)
    whole = ask(labels, q, sort=sort, side=side, limit=500)
    pages = [ask(labels, q, sort=sort, side=side, limit=25, offset=offset) for offset in range(0, whole.total, 25)]
    assert whole.total == 3 * 36 + 24  # all labels of the cosine lens
    assert [key(result) for page in pages for result in page.results] == [key(result) for result in whole.results]
    assert {page.total for page in pages} == {whole.total}
    assert len({key(result) for result in whole.results}) == whole.total


def test_a_page_past_the_last_still_counts(labels: Library) -> None:
    answer = ask(labels, offset=1_000_000)
    assert (answer.total, answer.results, answer.offset) == (6, [], 1_000_000)


@pytest.mark.parametrize("text", ["L2N1", "l2n1"])
def test_a_neurons_name_leads_to_it_in_every_model(labels: Library, text: str) -> None:
    answer = ask(labels, text)
    assert [ref.model for ref in answer.neurons] == ["tiny-base", "tiny-chat", "tiny-second", "tiny-gpt"]
    assert [ref.model for ref in ask(labels, text, model="tiny-gpt").neurons] == ["tiny-gpt"]
    assert (answer.total, answer.notes) == (0, [])


def test_a_neuron_that_no_model_has(labels: Library) -> None:
    answer = ask(labels, "L3N0", model="tiny-chat")
    assert not answer.neurons
    assert answer.notes == ["There is no neuron L3N0; the last is L2N3 in tiny-chat."]


def test_no_single_token_offers_its_pieces(labels: Library) -> None:
    answer = ask(labels, "New York", model="tiny-chat")
    assert [(token.text, token.tokenizer) for token in answer.pieces] == [("New", HASHES[0]), (" York", HASHES[0])]
    assert (answer.total, answer.results, answer.tokens) == (0, [], [])


def test_nothing_asked(labels: Library) -> None:
    answer = ask(labels, "")
    assert (answer.total, answer.results, answer.tokens, answer.pieces) == (0, [], [], [])
    assert answer.notes[0].startswith("Type a word")


def test_a_token_that_no_neuron_is_named_after(labels: Library) -> None:
    answer = ask(labels, "Straße")
    assert [token.text for token in answer.tokens[:1]] == ["Straße"]
    assert (answer.total, answer.results) == (0, [])


@pytest.mark.parametrize(
    "text", ["'", '"', "%", "*", "\x00", "\u202e", "'; drop table label; --", "a" * 10_000, ", " * 5000]
)
def test_odd_texts_are_answered(labels: Library, text: str) -> None:
    assert ask(labels, text).total == 0


def test_the_query_is_told_back_as_it_was_read(labels: Library) -> None:
    answer = ask(labels, view="up", layer_min="", strength="")
    assert next(iter(answer.query)) == "q"
    assert answer.query["view"] == "up"
    assert answer.query["layer_min"] is None
    assert answer.query["limit"] == 50


@pytest.mark.parametrize(
    ("filters", "problem", "message"),
    [
        ({"model": "nope"}, NotFound, "Mapped models: tiny-base, tiny-chat, tiny-second, tiny-gpt."),
        ({"pair": "nope"}, NotFound, "Mapped pairs: tiny-pair, tiny-later."),
        ({"pair": "tiny-pair", "model": "tiny-gpt"}, Unprocessable, "tiny-gpt is not in the pair tiny-pair"),
        ({"layer_min": 2, "layer_max": 1}, Unprocessable, "layer_min: 2 is above layer_max, 1."),
        ({"model": "tiny-gpt", "view": "gate"}, Unprocessable, "its MLP is ungated); its views are up, down."),
    ],
)
def test_refusals_name_what_there_is(
    labels: Library, filters: dict[str, Any], problem: type[Exception], message: str
) -> None:
    with pytest.raises(problem, match=message.replace("(", r"\(").replace(")", r"\)")):
        ask(labels, **filters)


def test_without_pairs_there_is_no_counterpart_and_no_agreement(unpaired: Library) -> None:
    assert ask(unpaired, "dog").results[0].counterpart is None
    assert ask(unpaired, "dog", agreement="same").total == 0
    with pytest.raises(NotFound, match="Mapped pairs: none"):
        ask(unpaired, "dog", pair="tiny-pair")
