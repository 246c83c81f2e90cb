"""The tour: at most six neurons, of the last five layers, no view, layer or word more than its share."""

from pathlib import Path

import pytest

from app.pages.tour import first_word, tour
from neuronym.contract import Lens, View
from tests.app import label_files
from tests.app.conftest import opened
from tests.app.label_files import Plan, write_library

LAYERS = 6
FRUIT = (
    "apple",
    "banana",
    "cherry",
    "damson",
    "elder",
    "fig leaf",
    "grape",
    "hazel",
    "kiwi",
    "lemon",
    "mango",
    "melon",
)
PLANTED = [  # view, layer, neuron, word, whether it is shown; the one that stands out most first
    (View.down, 0, 0, "lemon", False),  # before the last five layers
    (View.down, 5, 0, "apple", True),
    (View.down, 5, 1, "banana", True),
    (View.down, 5, 2, "cherry", False),  # the third of its layer
    (View.up, 4, 3, "apple", False),  # a word that is shown already
    (View.up, 4, 2, "fig leaf", False),  # no single word
    (View.down, 4, 0, "damson", True),
    (View.down, 4, 1, "elder", False),  # the fourth that writes
    (View.up, 4, 1, "grape", True),
    (View.up, 3, 0, "hazel", True),
    (View.up, 3, 1, "kiwi", False),  # the third of the up view
    (View.gate, 3, 2, "mango", True),  # the sixth
    (View.gate, 2, 0, "melon", False),
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose models have six layers, with neurons that stand out more than any other."""
    monkeypatch.setattr(label_files, "LAYERS", LAYERS)
    monkeypatch.setattr(label_files, "WORDS", label_files.WORDS + FRUIT)
    plan = Plan()
    for place, (view, layer, neuron, word, _) in enumerate(PLANTED):
        plan.top["tiny-chat", view, Lens.cosine, layer, neuron] = [(word, 40.0 - place)]
    write_library(tmp_path, plan)
    return tmp_path


def test_a_tour_has_six_stops_at_most_the_latest_layer_first(data: Path) -> None:
    for labels in opened(data):
        stops = [(stop.view, stop.layer, stop.index, first_word(stop)) for stop in tour(labels, "tiny-chat")]
    assert stops == [stop[:4] for stop in sorted(PLANTED, key=lambda stop: (-stop[1], stop[2])) if stop[4]]
    assert len(stops) == 6


def test_there_is_no_tour_of_a_model_that_is_not_there(data: Path) -> None:
    for labels in opened(data):
        assert tour(labels, "no-such-model") == []
