"""Base and instruct on real tiny checkpoints with planted changes: every figure follows from the labels."""

from collections import Counter
from itertools import product
from typing import Any, Literal

import pytest

from app.errors import Conflict, NotFound, Unprocessable
from app.labelfile.library import Library
from app.queries.pairs.changed import ChangedQuery, changed_neurons
from app.queries.pairs.compare import compare
from app.queries.pairs.concepts import ConceptsQuery, concepts
from app.queries.pairs.side_by_side import side_by_side
from neuronym.contract import Agreement, ChangedAnswer, DriftAnswer, Lens, Strength, View
from tests.app.pair_files import CHANGED, NEAR_TIE, NOTE, SWAPPED, PairFile
from tests.checkpoints import LAYERS, NEURONS

ALL_NEURONS = LAYERS * NEURONS
LabelPlace = tuple[View, int, int]


def ask_changed(labels: Library, instruct: str = "after", **filters: Any) -> ChangedAnswer:
    return changed_neurons(labels, "before", instruct, ChangedQuery(**filters))


def places(answer: ChangedAnswer) -> list[LabelPlace]:
    return [(neuron.view, neuron.layer, neuron.index) for neuron in answer.results]


def text_of(pairs: PairFile, token: int) -> str:
    ((text,),) = pairs.rows(f"SELECT text FROM token WHERE model = 0 AND id = {token}")
    return str(text)


def exact_query(pairs: PairFile, token: int) -> str:
    return '"' + text_of(pairs, token).replace('"', '""') + '"'


def test_what_was_planted_is_what_moved(pairs: PairFile) -> None:
    """The fixture itself: only the planted changes moved a top token, and the near tie only under its own lens."""
    assert pairs.moved("after", Lens.cosine) == CHANGED
    assert pairs.moved("after", Lens.logit) >= CHANGED | {NEAR_TIE}
    assert pairs.moved("later", Lens.cosine) == pairs.moved("later", Lens.logit) == SWAPPED


def test_agreement_is_the_share_of_top_tokens_that_stayed(paired: Library, pairs: PairFile) -> None:
    answer = compare(paired, "before", "after")
    assert (answer.pair, answer.base, answer.instruct, answer.note) == ("planted", "before", "after", NOTE)
    assert answer.top_k == 20
    assert [(figures.view, figures.lens) for figures in answer.overall] == list(product(View, Lens))
    for figures in answer.overall:
        moved_places = [place for place in pairs.moved("after", figures.lens) if place[0] == figures.view]
        assert figures.agreement == pytest.approx(1 - len(moved_places) / ALL_NEURONS)
        assert figures.agreement == answer.agreement[figures.view][figures.lens]
        assert figures.neurons == ALL_NEURONS
    up = find_agreement(answer.overall, View.up, Lens.cosine)
    swapped = side_by_side(paired, "before", "after", 2, 5).views[View.up][Lens.cosine]
    assert up.mean_cosine == pytest.approx(1 - 2 * (1 - swapped.cosine) / ALL_NEURONS)
    before, after = (pairs.labels(model, Lens.cosine) for model in ("before", "after"))
    shared = [len({*before[key].top_ids} & {*after[key].top_ids}) / 20 for key in before if key[0] is View.up]
    assert up.mean_overlap == pytest.approx(sum(shared) / ALL_NEURONS)


def find_agreement(agreements: list[Agreement], view: View, lens: Lens) -> Agreement:
    return next(figures for figures in agreements if (figures.view, figures.lens) == (view, lens))


def test_agreement_by_layer(paired: Library, pairs: PairFile) -> None:
    layers = compare(paired, "before", "after").by_layer
    assert [figures.layer for figures in layers] == [layer for layer in range(LAYERS) for _ in range(6)]
    for figures in layers:
        moved_places = [
            place for place in pairs.moved("after", figures.lens) if place[:2] == (figures.view, figures.layer)
        ]
        assert figures.agreement == pytest.approx(1 - len(moved_places) / NEURONS)
        assert figures.neurons == NEURONS


def test_agreement_by_strength_follows_the_base_label(paired: Library, pairs: PairFile, labels: Library) -> None:
    """There is no agreement by strength where no strength was measured."""
    assert compare(labels, "tiny-base", "tiny-chat").by_strength == []
    groups: dict[tuple[Strength, View, Lens], list[bool]] = {}
    for lens in Lens:
        moved_places = pairs.moved("after", lens)
        for place, strength in pairs.strengths("before", lens).items():
            groups.setdefault((strength, place[0], lens), []).append(place not in moved_places)
    by_strength = compare(paired, "before", "after").by_strength
    assert {(figures.strength, figures.view, figures.lens): figures.neurons for figures in by_strength} == {
        group: len(unmoved) for group, unmoved in groups.items()
    }
    for figures in by_strength:
        unmoved = groups[figures.strength, figures.view, figures.lens]
        assert figures.agreement == pytest.approx(sum(unmoved) / len(unmoved))


def test_a_near_tie_is_counted_apart(paired: Library, pairs: PairFile) -> None:
    overall = compare(paired, "before", "after").overall
    ties = pairs.moved("after", Lens.logit) - CHANGED
    assert {view for view, *_ in ties} >= {View.up}
    for figures in overall:
        expected = len([place for place in ties if place[0] == figures.view]) if figures.lens is Lens.logit else 0
        assert figures.near_ties == pytest.approx(expected / ALL_NEURONS)


def test_the_papers_figure_is_named_as_its_own(paired: Library) -> None:
    paper = compare(paired, "before", "after").paper
    assert paper.agreement == 0.754
    assert (paper.base, paper.instruct, paper.view, paper.lens) == (
        *("Llama 3.1 8B", "Llama 3.1 8B Instruct", View.up, Lens.logit),
    )
    assert "2501.02688" in paper.source


def test_one_base_has_figures_of_its_own_in_each_pair(paired: Library) -> None:
    answer = compare(paired, "before", "later")
    assert (answer.pair, answer.note) == ("second", None)
    assert find_agreement(answer.overall, View.up, Lens.cosine).agreement == pytest.approx(1 - 2 / ALL_NEURONS)
    assert {figures.agreement for figures in answer.overall if figures.view is not View.up} == {1}
    assert {place for lens in Lens for place in places(ask_changed(paired, "later", lens=lens))} == SWAPPED


def test_changed_lists_every_neuron_that_was_renamed(paired: Library, pairs: PairFile) -> None:
    answer = ask_changed(paired)
    assert set(places(answer)) == CHANGED
    assert answer.total == len(CHANGED)
    for lens in Lens:
        labels = {model: pairs.labels(model, lens) for model in ("before", "after")}
        for neuron in ask_changed(paired, lens=lens, include_near_ties=True).results:
            before, after = (labels[model][neuron.view, neuron.layer, neuron.index] for model in ("before", "after"))
            assert [token.token_id for token in neuron.base_tokens] == before.top_ids[:5]
            assert [token.token_id for token in neuron.instruct_tokens] == after.top_ids[:5]
            assert (neuron.base_margin, neuron.instruct_margin) == (before.margin, after.margin)
            assert neuron.neuron == f"L{neuron.layer}N{neuron.index}" and neuron.lens is lens and not neuron.same_top


def test_near_ties_are_left_out_until_asked_for(paired: Library, pairs: PairFile) -> None:
    assert set(places(ask_changed(paired, lens="logit"))) == CHANGED
    with_ties = ask_changed(paired, lens="logit", include_near_ties=True)
    assert set(places(with_ties)) == pairs.moved("after", Lens.logit)
    assert {place for place, neuron in zip(places(with_ties), with_ties.results, strict=True) if neuron.near_tie} == (
        pairs.moved("after", Lens.logit) - CHANGED
    )


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"view": "up"}, {(View.up, 2, 5), (View.up, 2, 9)}),
        ({"layer": 1}, {(View.gate, 1, 3)}),
        ({"layer": 2, "view": "down"}, set()),
        ({"concept": " "}, CHANGED),
        ({"concept": "no such token at all"}, set()),
        ({"concept": "L2N5"}, set()),
    ],
)
def test_changed_is_filtered(paired: Library, filters: dict[str, Any], expected: set[LabelPlace]) -> None:
    answer = ask_changed(paired, **filters)
    assert (set(places(answer)), answer.total) == (expected, len(expected))
    assert bool(answer.notes) == ("concept" in filters and bool(filters["concept"].strip()))


def test_a_concept_finds_old_and_new_names(paired: Library, pairs: PairFile) -> None:
    """The reversed row is found by its old and by its new top token."""
    place = (View.gate, 1, 3)
    for model in ("before", "after"):
        token = pairs.labels(model, Lens.cosine)[place].top_ids[0]
        results = ask_changed(paired, concept=exact_query(pairs, token)).results
        assert place in [(neuron.view, neuron.layer, neuron.index) for neuron in results]
        assert all(token in (neuron.base_tokens[0].token_id, neuron.instruct_tokens[0].token_id) for neuron in results)


def test_changed_is_sorted(paired: Library) -> None:
    by_cosine = [neuron.cosine for neuron in ask_changed(paired).results]
    assert by_cosine == sorted(by_cosine) and by_cosine[0] == pytest.approx(-1)
    by_overlap = [neuron.overlap for neuron in ask_changed(paired, sort="overlap").results]
    assert by_overlap == sorted(by_overlap)
    assert [place[1:] for place in places(ask_changed(paired, sort="layer"))] == [(1, 3), (2, 5), (2, 9), (3, 7)]
    margins = [min(neuron.base_margin, neuron.instruct_margin) for neuron in ask_changed(paired, sort="margin").results]
    assert margins == sorted(margins, reverse=True)


@pytest.mark.parametrize("sort", ["drift", "overlap", "layer", "margin"])
def test_pages_of_changed_neither_overlap_nor_leave_a_gap(paired: Library, sort: str) -> None:
    whole = places(ask_changed(paired, sort=sort))
    pages = [ask_changed(paired, sort=sort, limit=1, offset=offset) for offset in range(6)]
    assert [place for page in pages for place in places(page)] == whole
    assert {page.total for page in pages} == {len(whole)}


def test_concepts_count_the_top_tokens_of_both_models(paired: Library, pairs: PairFile) -> None:
    for lens in Lens:
        expected: dict[tuple[View, int], tuple[int, int]] = {}
        for view in View:
            counts = [
                Counter(label.top_ids[0] for place, label in pairs.labels(model, lens).items() if place[0] is view)
                for model in ("before", "after")
            ]
            expected |= {
                (view, token): (counts[0][token], counts[1][token])
                for token in counts[0].keys() | counts[1].keys()
                if counts[0][token] != counts[1][token]
            }
        answer = concepts(paired, "before", "after", ConceptsQuery(lens=lens))
        counted = {
            (change.view, change.token_id): (change.base_neurons, change.instruct_neurons) for change in answer.results
        }
        assert counted == expected
        assert answer.total == len(expected)
        assert all(change.change == change.instruct_neurons - change.base_neurons for change in answer.results)
        assert all(change.text == text_of(pairs, change.token_id) for change in answer.results)


def test_concepts_by_direction_and_view(paired: Library, pairs: PairFile) -> None:
    """The overwritten column's old top token is lost; its new one, which another neuron has too, is gained."""
    place = (View.down, 3, 7)
    lost, gained = (pairs.labels(model, Lens.cosine)[place].top_ids[0] for model in ("before", "after"))
    directions: list[tuple[Literal["lost", "gained"], int, int]] = [("lost", lost, -1), ("gained", gained, 1)]
    for direction, token, change in directions:
        query = ConceptsQuery(view=View.down, direction=direction)
        assert [(result.token_id, result.change) for result in concepts(paired, "before", "after", query).results] == [
            (token, change)
        ]
        named_query = ConceptsQuery(view=View.down, concept=exact_query(pairs, token))
        assert [result.token_id for result in concepts(paired, "before", "after", named_query).results] == [token]
    top = compare(paired, "before", "after").concepts
    assert {result.change > 0 for result in top.gained} == {True}
    assert {result.change > 0 for result in top.lost} == {False}
    assert (View.down, gained) in {(result.view, result.token_id) for result in top.gained}
    assert (View.down, lost) in {(result.view, result.token_id) for result in top.lost}


def test_side_by_side_has_both_sides_and_tells_their_tokens_apart(paired: Library, pairs: PairFile) -> None:
    answer = side_by_side(paired, "before", "after", 2, 5)
    assert (answer.neuron, answer.pair, answer.note) == ("L2N5", "planted", NOTE)
    assert (answer.sides.base.model, answer.sides.instruct.model) == ("before", "after")
    assert {view: list(lenses) for view, lenses in answer.views.items()} == {view: list(Lens) for view in View}
    for view, lens in product(View, Lens):
        before, after = (pairs.labels(model, lens)[view, 2, 5].top_ids for model in ("before", "after"))
        check_drift(answer.views[view][lens], before, after)
        assert [token.token_id for token in answer.sides.base.views[view][lens].top_tokens] == before
        assert [token.token_id for token in answer.sides.instruct.views[view][lens].top_tokens] == after


def check_drift(drift: DriftAnswer, before: list[int], after: list[int]) -> None:
    """The drift of one label is what its two lists of tokens say."""
    assert [token.token_id for token in drift.shared] == [id_ for id_ in after if id_ in before]
    assert [token.token_id for token in drift.gained] == [id_ for id_ in after if id_ not in before]
    assert [token.token_id for token in drift.lost] == [id_ for id_ in before if id_ not in after]
    for token in (*drift.shared, *drift.gained, *drift.lost):
        assert token.base_rank == (before.index(token.token_id) if token.token_id in before else None)
        assert token.instruct_rank == (after.index(token.token_id) if token.token_id in after else None)
    assert drift.same_top == (before[0] == after[0])
    assert drift.overlap == pytest.approx(len(drift.shared) / 20)
    assert drift.base_rank == (before.index(after[0]) if after[0] in before else None)
    assert drift.instruct_rank == (after.index(before[0]) if before[0] in after else None)


def test_a_neuron_that_did_not_move(paired: Library) -> None:
    drift = side_by_side(paired, "before", "after", 2, 6).views[View.up][Lens.cosine]
    assert drift.cosine == pytest.approx(1)
    assert drift.same_top and not drift.near_tie
    assert (drift.base_rank, drift.instruct_rank) == (0, 0)


@pytest.mark.parametrize(
    ("base", "instruct", "problem", "message"),
    [
        ("nobody", "after", NotFound, "Mapped pairs: before with after, before with later."),
        ("before", "nobody", NotFound, "No model “nobody” is mapped"),
        ("after", "before", Conflict, "before is the base: ask for before/after"),
        ("before", "before", Conflict, "before is one model"),
        ("before", "other", Conflict, r"differ in architecture \(llama and gpt2\)"),
        ("after", "later", Conflict, "neuronym-worker map .*after .*later --name after --name later"),
        ("before", "lone", Conflict, "mapped, but not as a pair"),
    ],
)
def test_what_is_no_pair_is_refused(
    paired: Library, base: str, instruct: str, problem: type[Exception], message: str
) -> None:
    for ask in (
        lambda: compare(paired, base, instruct),
        lambda: changed_neurons(paired, base, instruct, ChangedQuery()),
        lambda: concepts(paired, base, instruct, ConceptsQuery()),
        lambda: side_by_side(paired, base, instruct, 0, 0),
    ):
        with pytest.raises(problem, match=message):
            ask()


def test_places_that_are_not_there(paired: Library) -> None:
    with pytest.raises(NotFound, match="its layers are 0 to 3"):
        side_by_side(paired, "before", "after", 4, 0)
    with pytest.raises(NotFound, match="its neurons are 0 to 47"):
        side_by_side(paired, "before", "after", 0, 48)
    with pytest.raises(NotFound, match="its layers are 0 to 3"):
        ask_changed(paired, layer=4)


def test_without_pairs_the_refusal_says_how_to_make_one(labels: Library, unpaired: Library) -> None:
    with pytest.raises(NotFound, match="Mapped pairs: tiny-base with tiny-chat, tiny-base with tiny-second"):
        compare(labels, "tiny-base", "nobody")
    with pytest.raises(NotFound, match="neuronym-worker map BASE INSTRUCT"):
        compare(unpaired, "tiny-base", "nobody")


def test_a_view_that_the_pair_was_not_mapped_under(partly_paired: Library) -> None:
    assert set(compare(partly_paired, "a", "b").agreement) == {View.up}
    with pytest.raises(Unprocessable, match="its views are up"):
        changed_neurons(partly_paired, "a", "b", ChangedQuery(view=View.gate))
    with pytest.raises(Unprocessable, match="nothing is mapped under cosine"):
        changed_neurons(partly_paired, "a", "b", ChangedQuery())
    assert changed_neurons(partly_paired, "a", "b", ChangedQuery(lens=Lens.logit)).total > 0
    assert compare(partly_paired, "a", "b").concepts.gained[0].lens is Lens.logit
