"""Base and instruct on real tiny checkpoints with planted changes: every figure is what the labels themselves say."""

from collections import Counter
from itertools import product
from typing import Any, Literal

import pytest

from app.errors import Conflict, NotFound, Unprocessable
from app.labelfile.label_file import LabelFile
from app.queries.pairs.changed import ChangedQuery, changed
from app.queries.pairs.compare import compare
from app.queries.pairs.concepts import ConceptsQuery, concepts
from app.queries.pairs.side_by_side import side_by_side
from neuronym.contract import Agreement, ChangedAnswer, DriftAnswer, Lens, Strength, View
from tests.app.pair_files import CHANGED, NEAR_TIE, NOTE, SWAPPED, PairFile
from tests.checkpoints import LAYERS, NEURONS

ALL = LAYERS * NEURONS
Place = tuple[View, int, int]


def moved(labels: LabelFile, instruct: str = "after", **filters: Any) -> ChangedAnswer:
    return changed(labels, "before", instruct, ChangedQuery(**filters))


def places(answer: ChangedAnswer) -> list[Place]:
    return [(one.view, one.layer, one.index) for one in answer.results]


def text_of(pairs: PairFile, token: int) -> str:
    ((text,),) = pairs.rows(f"SELECT text FROM token WHERE tokenizer = 0 AND id = {token}")
    return str(text)


def exactly(pairs: PairFile, token: int) -> str:
    return '"' + text_of(pairs, token).replace('"', '""') + '"'


def test_what_was_planted_is_what_moved(pairs: PairFile) -> None:
    """The fixture itself: nothing moved but what was planted, and the near tie in its lens alone."""
    assert pairs.moved("after", Lens.cosine) == CHANGED
    assert pairs.moved("after", Lens.logit) >= CHANGED | {NEAR_TIE}
    assert pairs.moved("later", Lens.cosine) == pairs.moved("later", Lens.logit) == SWAPPED


def test_agreement_is_the_share_of_top_tokens_that_stayed(paired: LabelFile, pairs: PairFile) -> None:
    answer = compare(paired, "before", "after")
    assert (answer.pair, answer.base, answer.instruct, answer.note) == ("planted", "before", "after", NOTE)
    assert answer.top_k == 20
    assert [(one.view, one.lens) for one in answer.overall] == list(product(View, Lens))
    for one in answer.overall:
        gone = [place for place in pairs.moved("after", one.lens) if place[0] == one.view]
        assert one.agreement == pytest.approx(1 - len(gone) / ALL)
        assert one.agreement == answer.agreement[one.view][one.lens]
        assert one.neurons == ALL
    up = by_kind(answer.overall, View.up, Lens.cosine)
    swapped = side_by_side(paired, "before", "after", 2, 5).views[View.up][Lens.cosine]
    assert up.mean_cosine == pytest.approx(1 - 2 * (1 - swapped.cosine) / ALL)
    before, after = (pairs.labels(model, Lens.cosine) for model in ("before", "after"))
    shared = [len({*before[key].top_ids} & {*after[key].top_ids}) / 20 for key in before if key[0] is View.up]
    assert up.mean_overlap == pytest.approx(sum(shared) / ALL)


def by_kind(measured: list[Agreement], view: View, lens: Lens) -> Agreement:
    return next(one for one in measured if (one.view, one.lens) == (view, lens))


def test_agreement_by_layer(paired: LabelFile, pairs: PairFile) -> None:
    layers = compare(paired, "before", "after").by_layer
    assert [one.layer for one in layers] == [layer for layer in range(LAYERS) for _ in range(6)]
    for one in layers:
        gone = [place for place in pairs.moved("after", one.lens) if place[:2] == (one.view, one.layer)]
        assert one.agreement == pytest.approx(1 - len(gone) / NEURONS)
        assert one.neurons == NEURONS


def test_agreement_by_strength_follows_the_base_label(paired: LabelFile, pairs: PairFile, labels: LabelFile) -> None:
    """Empty where no strength was measured."""
    assert compare(labels, "tiny-base", "tiny-chat").by_strength == []
    groups: dict[tuple[Strength, View, Lens], list[bool]] = {}
    for lens in Lens:
        gone = pairs.moved("after", lens)
        for place, strength in pairs.strengths("before", lens).items():
            groups.setdefault((strength, place[0], lens), []).append(place not in gone)
    found = compare(paired, "before", "after").by_strength
    assert {(one.strength, one.view, one.lens): one.neurons for one in found} == {
        group: len(kept) for group, kept in groups.items()
    }
    for one in found:
        kept = groups[one.strength, one.view, one.lens]
        assert one.agreement == pytest.approx(sum(kept) / len(kept))


def test_a_near_tie_is_counted_apart(paired: LabelFile, pairs: PairFile) -> None:
    overall = compare(paired, "before", "after").overall
    ties = pairs.moved("after", Lens.logit) - CHANGED
    assert {view for view, *_ in ties} >= {View.up}
    for one in overall:
        expected = len([place for place in ties if place[0] == one.view]) if one.lens is Lens.logit else 0
        assert one.near_ties == pytest.approx(expected / ALL)


def test_the_papers_figure_is_named_as_its_own(paired: LabelFile) -> None:
    paper = compare(paired, "before", "after").paper
    assert paper.agreement == 0.754
    assert (paper.base, paper.instruct, paper.view, paper.lens) == (
        *("Llama 3.1 8B", "Llama 3.1 8B Instruct", View.up, Lens.logit),
    )
    assert "2501.02688" in paper.source


def test_one_base_has_figures_of_its_own_in_each_pair(paired: LabelFile) -> None:
    answer = compare(paired, "before", "later")
    assert (answer.pair, answer.note) == ("second", None)
    assert by_kind(answer.overall, View.up, Lens.cosine).agreement == pytest.approx(1 - 2 / ALL)
    assert {one.agreement for one in answer.overall if one.view is not View.up} == {1}
    assert {place for lens in Lens for place in places(moved(paired, "later", lens=lens))} == SWAPPED


def test_changed_lists_every_neuron_that_was_renamed(paired: LabelFile, pairs: PairFile) -> None:
    answer = moved(paired)
    assert set(places(answer)) == CHANGED
    assert answer.total == len(CHANGED)
    for lens in Lens:
        labels = {model: pairs.labels(model, lens) for model in ("before", "after")}
        for one in moved(paired, lens=lens, include_near_ties=True).results:
            before, after = (labels[model][one.view, one.layer, one.index] for model in ("before", "after"))
            assert [token.token_id for token in one.base_tokens] == before.top_ids[:5]
            assert [token.token_id for token in one.instruct_tokens] == after.top_ids[:5]
            assert (one.base_margin, one.instruct_margin) == (before.margin, after.margin)
            assert one.neuron == f"L{one.layer}N{one.index}" and one.lens is lens and not one.same_top


def test_near_ties_are_left_out_until_asked_for(paired: LabelFile, pairs: PairFile) -> None:
    assert set(places(moved(paired, lens="logit"))) == CHANGED
    all_of_them = moved(paired, lens="logit", include_near_ties=True)
    assert set(places(all_of_them)) == pairs.moved("after", Lens.logit)
    assert {place for place, one in zip(places(all_of_them), all_of_them.results, strict=True) if one.near_tie} == (
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
def test_changed_is_filtered(paired: LabelFile, filters: dict[str, Any], expected: set[Place]) -> None:
    answer = moved(paired, **filters)
    assert (set(places(answer)), answer.total) == (expected, len(expected))
    assert bool(answer.notes) == ("concept" in filters and bool(filters["concept"].strip()))


def test_a_concept_finds_old_and_new_names(paired: LabelFile, pairs: PairFile) -> None:
    """Of the reversed row: its old and its new top token."""
    place = (View.gate, 1, 3)
    for model in ("before", "after"):
        token = pairs.labels(model, Lens.cosine)[place].top_ids[0]
        found = moved(paired, concept=exactly(pairs, token)).results
        assert place in [(one.view, one.layer, one.index) for one in found]
        assert all(token in (one.base_tokens[0].token_id, one.instruct_tokens[0].token_id) for one in found)


def test_changed_is_sorted(paired: LabelFile) -> None:
    by_cosine = [one.cosine for one in moved(paired).results]
    assert by_cosine == sorted(by_cosine) and by_cosine[0] == pytest.approx(-1)
    by_overlap = [one.overlap for one in moved(paired, sort="overlap").results]
    assert by_overlap == sorted(by_overlap)
    assert [place[1:] for place in places(moved(paired, sort="layer"))] == [(1, 3), (2, 5), (2, 9), (3, 7)]
    surest = [min(one.base_margin, one.instruct_margin) for one in moved(paired, sort="margin").results]
    assert surest == sorted(surest, reverse=True)


@pytest.mark.parametrize("sort", ["drift", "overlap", "layer", "margin"])
def test_pages_of_changed_neither_overlap_nor_leave_a_gap(paired: LabelFile, sort: str) -> None:
    whole = places(moved(paired, sort=sort))
    pages = [moved(paired, sort=sort, limit=1, offset=offset) for offset in range(6)]
    assert [place for page in pages for place in places(page)] == whole
    assert {page.total for page in pages} == {len(whole)}


def test_concepts_count_the_top_tokens_of_both_models(paired: LabelFile, pairs: PairFile) -> None:
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
        found = {(one.view, one.token_id): (one.base_neurons, one.instruct_neurons) for one in answer.results}
        assert found == expected
        assert answer.total == len(expected)
        assert all(one.change == one.instruct_neurons - one.base_neurons for one in answer.results)
        assert all(one.text == text_of(pairs, one.token_id) for one in answer.results)


def test_concepts_by_direction_and_view(paired: LabelFile, pairs: PairFile) -> None:
    """Of the overwritten column: its old name is lost, its new one, which another neuron has, is gained."""
    place = (View.down, 3, 7)
    lost, gained = (pairs.labels(model, Lens.cosine)[place].top_ids[0] for model in ("before", "after"))
    directions: list[tuple[Literal["lost", "gained"], int, int]] = [("lost", lost, -1), ("gained", gained, 1)]
    for direction, token, change in directions:
        query = ConceptsQuery(view=View.down, direction=direction)
        assert [(one.token_id, one.change) for one in concepts(paired, "before", "after", query).results] == [
            (token, change)
        ]
        named = ConceptsQuery(view=View.down, concept=exactly(pairs, token))
        assert [one.token_id for one in concepts(paired, "before", "after", named).results] == [token]
    top = compare(paired, "before", "after").concepts
    assert {one.change > 0 for one in top.gained} == {True}
    assert {one.change > 0 for one in top.lost} == {False}
    assert (View.down, gained) in {(one.view, one.token_id) for one in top.gained}
    assert (View.down, lost) in {(one.view, one.token_id) for one in top.lost}


def test_side_by_side_has_both_sides_and_tells_their_tokens_apart(paired: LabelFile, pairs: PairFile) -> None:
    answer = side_by_side(paired, "before", "after", 2, 5)
    assert (answer.neuron, answer.pair, answer.note) == ("L2N5", "planted", NOTE)
    assert (answer.sides.base.model, answer.sides.instruct.model) == ("before", "after")
    assert {view: list(lenses) for view, lenses in answer.views.items()} == {view: list(Lens) for view in View}
    for view, lens in product(View, Lens):
        before, after = (pairs.labels(model, lens)[view, 2, 5].top_ids for model in ("before", "after"))
        check(answer.views[view][lens], before, after)
        assert [one.token_id for one in answer.sides.base.views[view][lens].top_tokens] == before
        assert [one.token_id for one in answer.sides.instruct.views[view][lens].top_tokens] == after


def check(one: DriftAnswer, before: list[int], after: list[int]) -> None:
    """The drift of one label is what its two lists of tokens say."""
    assert [token.token_id for token in one.shared] == [id_ for id_ in after if id_ in before]
    assert [token.token_id for token in one.gained] == [id_ for id_ in after if id_ not in before]
    assert [token.token_id for token in one.lost] == [id_ for id_ in before if id_ not in after]
    for token in (*one.shared, *one.gained, *one.lost):
        assert token.base_rank == (before.index(token.token_id) if token.token_id in before else None)
        assert token.instruct_rank == (after.index(token.token_id) if token.token_id in after else None)
    assert one.same_top == (before[0] == after[0])
    assert one.overlap == pytest.approx(len(one.shared) / 20)
    assert one.base_rank == (before.index(after[0]) if after[0] in before else None)
    assert one.instruct_rank == (after.index(before[0]) if before[0] in after else None)


def test_a_neuron_that_did_not_move(paired: LabelFile) -> None:
    one = side_by_side(paired, "before", "after", 2, 6).views[View.up][Lens.cosine]
    assert one.cosine == pytest.approx(1)
    assert one.same_top and not one.near_tie
    assert (one.base_rank, one.instruct_rank) == (0, 0)


@pytest.mark.parametrize(
    ("base", "instruct", "problem", "said"),
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
    paired: LabelFile, base: str, instruct: str, problem: type[Exception], said: str
) -> None:
    for ask in (
        lambda: compare(paired, base, instruct),
        lambda: changed(paired, base, instruct, ChangedQuery()),
        lambda: concepts(paired, base, instruct, ConceptsQuery()),
        lambda: side_by_side(paired, base, instruct, 0, 0),
    ):
        with pytest.raises(problem, match=said):
            ask()


def test_places_that_are_not_there(paired: LabelFile) -> None:
    with pytest.raises(NotFound, match="its layers are 0 to 3"):
        side_by_side(paired, "before", "after", 4, 0)
    with pytest.raises(NotFound, match="its neurons are 0 to 47"):
        side_by_side(paired, "before", "after", 0, 48)
    with pytest.raises(NotFound, match="its layers are 0 to 3"):
        moved(paired, layer=4)


def test_without_pairs_the_refusal_says_how_to_make_one(labels: LabelFile, unpaired: LabelFile) -> None:
    with pytest.raises(NotFound, match="Mapped pairs: tiny-base with tiny-chat, tiny-base with tiny-second"):
        compare(labels, "tiny-base", "nobody")
    with pytest.raises(NotFound, match="neuronym-worker map BASE INSTRUCT"):
        compare(unpaired, "tiny-base", "nobody")


def test_a_view_that_the_pair_was_not_mapped_under(partly_paired: LabelFile) -> None:
    assert set(compare(partly_paired, "a", "b").agreement) == {View.up}
    with pytest.raises(Unprocessable, match="its views are up"):
        changed(partly_paired, "a", "b", ChangedQuery(view=View.gate))
    with pytest.raises(Unprocessable, match="nothing is mapped under cosine"):
        changed(partly_paired, "a", "b", ChangedQuery())
    assert changed(partly_paired, "a", "b", ChangedQuery(lens=Lens.logit)).total > 0
    assert compare(partly_paired, "a", "b").concepts.gained[0].lens is Lens.logit
