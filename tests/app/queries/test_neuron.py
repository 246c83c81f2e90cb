"""The answers about a planted neuron, its layer and its tokens."""

from math import exp

import pytest

from app.errors import NotFound, Unprocessable
from app.labelfile.library import Library
from app.queries.layers import LayerQuery, layer
from app.queries.models import models
from app.queries.neuron import neuron
from app.queries.tokens import BEST, TokensQuery, token, tokens
from neuronym.contract import Direction, Kind, Lens, Role, Side, Site, Strength, View
from neuronym.label_tables import QUANTILES
from tests.app.label_files import FILLER, HASHES, token_ids

A, B = HASHES


def test_models_have_provenance_and_pairs(labels: Library) -> None:
    base, chat, second, gpt = models(labels).models
    assert [(pair.name, pair.role, pair.other) for pair in base.pairs] == [
        ("tiny-pair", Role.base, "tiny-chat"),
        ("tiny-later", Role.base, "tiny-second"),
    ]
    assert [(pair.name, pair.role, pair.other) for pair in chat.pairs] == [("tiny-pair", Role.instruct, "tiny-base")]
    assert [pair.name for pair in second.pairs] == ["tiny-later"]
    assert (gpt.views, gpt.lenses, gpt.pairs, gpt.tokenizer) == ([View.up, View.down], list(Lens), [], B)
    assert (chat.versions, chat.settings["top_k"], chat.tokenizer) == ({"torch": "2.13.0"}, 6, A)


def test_labels_by_view_and_lens(labels: Library) -> None:
    answer = neuron(labels, "tiny-chat", 2, 1)
    assert (answer.neuron, answer.model, answer.layer, answer.index, answer.run) == (
        *("L2N1", "tiny-chat", 2, 1, "planted-1"),
    )
    assert {view: list(lenses) for view, lenses in answer.views.items()} == {view: list(Lens) for view in View}
    label = answer.views[View.up][Lens.cosine]
    assert [token.text for token in label.top_tokens[:2]] == [" California", " dog"]
    assert label.top_tokens[0].score == pytest.approx(4.6)
    assert (len(label.top_tokens), len(label.bottom_tokens)) == (6, 3)
    assert [label.z, label.margin, label.layer_z] == pytest.approx([9, 2, 1.5])
    assert (label.strength, label.logsumexp, label.probability) == (Strength.strong, None, None)


def test_the_papers_probability_is_the_softmax_share_of_the_top_token(labels: Library) -> None:
    label = neuron(labels, "tiny-chat", 1, 3).views[View.down][Lens.logit]
    assert label.top_tokens[0].text == " California"
    assert label.probability == pytest.approx(exp(0.1 + 12 / 2 - 7.0), rel=1e-5)


def test_an_ungated_model_has_no_gate(labels: Library) -> None:
    assert list(neuron(labels, "tiny-gpt", 0, 2).views) == [View.up, View.down]


def test_activity_and_effect_where_they_are_measured(labels: Library) -> None:
    answer = neuron(labels, "tiny-chat", 2, 1)
    assert answer.activity is not None
    assert list(answer.activity) == [Site.up, Site.act]
    assert answer.activity[Site.up].p == list(QUANTILES)
    assert answer.activity[Site.up].q == [float(place) for place in range(len(QUANTILES))]
    assert answer.activity[Site.up].contexts == ["in California"]
    assert answer.effect is not None
    high = answer.effect[Site.act][Direction.high]
    assert (high.token.text, high.value, high.kl, high.moved.text) == (" California", 3.0, 0.5, "Los")


def test_the_effect_of_a_site_is_told_by_the_cosine_label_of_its_view(labels: Library) -> None:
    """The planted lists run over up-logit, up-cosine, gate-logit, ... and hold their own place."""
    effect = neuron(labels, "tiny-chat", 2, 1).effect
    assert effect is not None
    assert effect[Site.up][Direction.low].delta == 1
    assert effect[Site.act][Direction.low].delta == 5


def test_what_is_not_measured_is_null(labels: Library) -> None:
    answer = neuron(labels, "tiny-gpt", 0, 0)
    assert (answer.activity, answer.effect, answer.counterpart, answer.neighbours.similar) == (None, None, None, [])


@pytest.mark.parametrize(
    ("place", "previous", "following"),
    [((0, 0), None, "L0N1"), ((0, 3), "L0N2", "L1N0"), ((1, 0), "L0N3", "L1N1"), ((2, 3), "L2N2", None)],
)
def test_previous_and_next_cross_layers(
    labels: Library, place: tuple[int, int], previous: str | None, following: str | None
) -> None:
    neighbours = neuron(labels, "tiny-chat", *place).neighbours
    assert (neighbours.previous, neighbours.next) == (previous, following)


def test_similar_neurons(labels: Library) -> None:
    similar = neuron(labels, "tiny-chat", 2, 1).neighbours.similar
    neighbours = [(neighbour.neuron, neighbour.view, neighbour.cosine) for neighbour in similar]
    assert neighbours == [("L2N3", View.up, 0.75), ("L2N0", View.up, 0.5)]


def test_the_counterpart_by_view_and_lens(labels: Library) -> None:
    counterpart = neuron(labels, "tiny-chat", 0, 0).counterpart
    assert counterpart is not None
    assert (counterpart.model, counterpart.pair, counterpart.role) == ("tiny-base", "tiny-pair", Role.base)
    assert {view: list(lenses) for view, lenses in counterpart.views.items()} == {view: list(Lens) for view in View}
    assert not counterpart.views[View.down][Lens.cosine].same_top
    assert counterpart.views[View.down][Lens.logit].same_top


@pytest.mark.parametrize(
    ("model", "place", "message"),
    [
        ("nope", (0, 0), "Mapped models: tiny-base, tiny-chat, tiny-second, tiny-gpt"),
        ("tiny-chat", (3, 0), "its layers are 0 to 2"),
        ("tiny-chat", (-1, 0), "its layers are 0 to 2"),
        ("tiny-chat", (0, 4), "its neurons are 0 to 3"),
        ("tiny-chat", (0, 10**30), "its neurons are 0 to 3"),
    ],
)
def test_a_neuron_that_is_not_there(labels: Library, model: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(NotFound, match=message):
        neuron(labels, model, *place)


def test_a_layer_lists_the_most_specialised_first(labels: Library) -> None:
    answer = layer(labels, "tiny-chat", 2, LayerQuery())
    assert [neuron.neuron for neuron in answer.results] == ["L2N1", "L2N0", "L2N2", "L2N3"]
    assert (answer.total, answer.layers, answer.view, answer.lens) == (4, 3, View.up, Lens.cosine)
    assert [token.text for token in answer.results[0].top_tokens[:2]] == [" California", " dog"]
    assert len(answer.results[0].top_tokens) == 5


def test_a_layer_is_filtered_sorted_and_paged(labels: Library) -> None:
    by_place = layer(labels, "tiny-chat", 2, LayerQuery(sort="neuron", limit=2, offset=1))
    assert [neuron.neuron for neuron in by_place.results] == ["L2N1", "L2N2"]
    assert by_place.total == 4
    strong = layer(labels, "tiny-chat", 2, LayerQuery(strength=Strength.strong))
    assert ([neuron.neuron for neuron in strong.results], strong.total) == (["L2N1"], 1)
    assert layer(labels, "tiny-chat", 2, LayerQuery(sort="layer_z")).results[0].neuron == "L2N1"
    assert layer(labels, "tiny-chat", 2, LayerQuery(sort="margin")).results[0].neuron == "L2N1"


def test_a_layer_that_is_not_there(labels: Library) -> None:
    with pytest.raises(NotFound, match="its layers are 0 to 2"):
        layer(labels, "tiny-chat", 3, LayerQuery())
    with pytest.raises(Unprocessable, match="its views are up, down"):
        layer(labels, "tiny-gpt", 0, LayerQuery(view=View.gate))


def test_tokens_that_match(labels: Library) -> None:
    answer = tokens(labels, TokensQuery(q="dog", tokenizer=B))
    assert [(entry.text, entry.kind, entry.tokenizer) for entry in answer.tokens] == [
        ("dog", Kind.continuation, B),
        (" dog", Kind.word, B),
    ]
    assert len(tokens(labels, TokensQuery(q="dog")).tokens) == 4


def test_tokens_are_cut_and_it_is_said(labels: Library) -> None:
    answer = tokens(labels, TokensQuery(q="calico*", tokenizer=A, limit=8))
    assert [entry.text for entry in answer.tokens] == [f" calico00{place}" for place in range(8)]
    assert answer.notes[-1] == "200 tokens match; the first 8 are listed."


def test_tokens_of_no_token_are_its_pieces(labels: Library) -> None:
    answer = tokens(labels, TokensQuery(q="New York", tokenizer=A))
    assert [piece.text for piece in answer.pieces] == ["New", " York"]


def test_a_token_and_the_neurons_that_name_it(labels: Library) -> None:
    answer = token(labels, A, token_ids(0)[" California"])
    assert (answer.token.text, answer.token.kind) == (" California", Kind.word)
    groups = {(group.model, group.view, group.lens, group.side): group for group in answer.groups}
    up = groups["tiny-chat", View.up, Lens.cosine, Side.top]
    assert (up.total, [result.neuron for result in up.neurons]) == (1, ["L2N1"])
    bottom = groups["tiny-chat", View.up, Lens.cosine, Side.bottom]
    assert [(result.neuron, result.side) for result in bottom.neurons] == [("L1N1", Side.bottom), ("L1N0", Side.bottom)]
    assert ("tiny-gpt", View.down, Lens.cosine, Side.top) not in groups  # of another vocabulary
    assert len(groups) == len(answer.groups) == 6


def test_a_group_names_its_best_and_counts_them_all(labels: Library) -> None:
    groups = [group for text in FILLER for group in token(labels, A, token_ids(0)[text]).groups]
    assert sum(group.total for group in groups) == 3 * 72 * 9 - 19  # every place of every label but the planted
    assert max(len(group.neurons) for group in groups) <= BEST
    largest = max(groups, key=lambda group: group.total)
    distances = [abs(neuron.z) for neuron in largest.neurons]
    assert distances == sorted(distances, reverse=True)


def test_a_token_that_is_not_there(labels: Library) -> None:
    with pytest.raises(NotFound, match=f"There is: {A}, {B}"):
        token(labels, "c" * 16, 0)
    with pytest.raises(NotFound, match="its highest id is"):
        token(labels, A, 10**12)
    with pytest.raises(NotFound, match="its highest id is"):
        token(labels, A, -1)
    with pytest.raises(NotFound, match=f"There is: {A}, {B}"):
        tokens(labels, TokensQuery(q="dog", tokenizer="nope"))
