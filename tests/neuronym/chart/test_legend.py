"""Places of names beside a chart: apart, inside the picture, in order, and unmoved where there is room."""

from itertools import combinations
from random import Random

import pytest

from neuronym.chart.legend import set_apart

DISTANCE, LOW, HIGH = 9.0, 4.0, 104.0
ROOM = 12  # places fit: 11 distances are 99 of 100


def places(random: Random) -> list[float]:
    """Places far from each other, in a crowd, or the same; some lie outside the picture."""
    width = random.choice([0.0, 1.0, 20.0, 100.0])
    begin = random.uniform(LOW - 20, HIGH - width + 20)
    return [random.uniform(begin, begin + width) for _ in range(random.randint(0, ROOM))]


@pytest.mark.parametrize("seed", range(200))
def test_any_places_are_set_apart_within_the_picture_in_their_order(seed: int) -> None:
    places_before = places(Random(seed))
    places_after = set_apart(places_before, DISTANCE, LOW, HIGH)
    assert len(places_after) == len(places_before)
    for (before, after), (other_before, other_after) in combinations(zip(places_before, places_after, strict=True), 2):
        assert abs(after - other_after) >= DISTANCE - 1e-9
        assert before == other_before or (before < other_before) == (after < other_after)
    assert all(LOW <= place <= HIGH + 1e-9 for place in places_after)


@pytest.mark.parametrize("seed", range(50))
def test_places_with_room_stay(seed: int) -> None:
    random = Random(seed)
    places_before = [LOW + 25 * step + random.uniform(0, 25 - DISTANCE) for step in range(4)]
    random.shuffle(places_before)
    assert set_apart(places_before, DISTANCE, LOW, HIGH) == places_before


@pytest.mark.parametrize(
    ("places_before", "places_after"),
    [
        ([50.0, 50.0, 50.0], [50, 59, 68]),
        ([53.0, 50.0], [59, 50]),
        ([10.0, 99.0, 99.0], [10, 91, 100]),  # the first has room and stays
        ([0.0, 99.0, 99.0], [0, 91, 100]),
        ([85.0, 99.0, 99.0], [82, 91, 100]),
        ([-5.0, 120.0], [0, 100]),
        ([40.0], [40]),
        ([], []),
    ],
)
def test_crowded_places_move_no_farther_than_they_must(places_before: list[float], places_after: list[float]) -> None:
    assert set_apart(places_before, 9, 0, 100) == places_after


def test_more_than_there_is_room_for_share_it() -> None:
    assert set_apart([80.0] * 5, 30, 0, 100) == pytest.approx([0, 25, 50, 75, 100])
