"""Axes: round ticks around or within a range, and where values lie."""

from random import Random

import pytest

from neuronym.chart.axis import Axis, count_axis, exact_axis, round_axis


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.954, 1.0, [0.95, 0.96, 0.97, 0.98, 0.99, 1.0]),
        (0, 0.3679, [0, 0.1, 0.2, 0.3, 0.4]),
        (0, 0.11, [0, 0.025, 0.05, 0.075, 0.1, 0.125]),
        (6.1, 8.1, [6, 6.5, 7, 7.5, 8, 8.5]),
        (-3, 38, [-10, 0, 10, 20, 30, 40]),
        (0, 12_000, [0, 2_500, 5_000, 7_500, 10_000, 12_500]),
        (0.3, 0.6, [0.3, 0.4, 0.5, 0.6]),  # 0.3 / 0.1 is a little less than 3
    ],
)
def test_a_round_axis_begins_and_ends_at_a_tick(low: float, high: float, ticks: list[float]) -> None:
    axis = round_axis(low, high)
    assert axis.values() == pytest.approx(ticks)
    assert (axis.low, axis.high) == pytest.approx((ticks[0], ticks[-1]))


def test_a_round_axis_holds_any_values_in_few_round_steps() -> None:
    random = Random(4)
    for _ in range(500):
        low = random.uniform(-1, 1) * 10 ** random.uniform(-3, 4)
        high = low + 10 ** random.uniform(-3, 4)
        axis = round_axis(low, high)
        leeway = 1e-5 * axis.step
        assert axis.low <= low + leeway and high <= axis.high + leeway
        assert 2 <= len(axis.values()) <= 6
        first = f"{axis.step:.6e}".rstrip("0").partition("e")[0].rstrip("0").rstrip(".")
        assert first in ("1", "2", "2.5", "5")


@pytest.mark.parametrize(
    ("value", "ticks"), [(1.0, [0.999, 1.0]), (0.0, [0.0, 0.001]), (0.5, [0.499, 0.5]), (-2.0, [-2.0, -1.999])]
)
def test_values_that_are_all_the_same_have_an_axis_of_one_step(value: float, ticks: list[float]) -> None:
    assert round_axis(value, value, 0.001).values() == pytest.approx(ticks)


def test_no_step_is_smaller_than_can_be_written() -> None:
    assert round_axis(0.9991, 0.9992, 0.001).values() == pytest.approx([0.999, 1.0])
    assert round_axis(0.9991, 0.9992).values() == pytest.approx([0.9991, 0.99912, 0.99914, 0.99916, 0.99918, 0.9992])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(-9, 18, [0, 10]), (-4, 4, [-4, -2, 0, 2, 4]), (-2.6, 9.9, [-2.5, 0, 2.5, 5, 7.5]), (3.7, 3.7, [3.7])],
)
def test_an_exact_axis_has_round_ticks_within(low: float, high: float, ticks: list[float]) -> None:
    axis = exact_axis(low, high)
    assert (axis.low, axis.high) == (low, high)
    assert axis.values() == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        (1, [0]),
        (3, [0, 1, 2]),
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (12, [0, 2, 4, 6, 8, 10]),
        (20, [0, 5, 10, 15]),  # not 0, 2.5, 5: 2.5 is round, but no layer
        (30, [0, 5, 10, 15, 20, 25]),
        (126, [0, 20, 40, 60, 80, 100, 120]),
    ],
)
def test_a_count_has_whole_round_ticks(layers: int, named: list[int]) -> None:
    assert count_axis(layers - 1, 8).values() == named


def test_values_lie_between_start_and_end() -> None:
    across = Axis(-10, 10, 5)
    assert [across.place(value) for value in (-10, -5, 0, 10)] == [0, 25, 50, 100]
    up = Axis(0, 1, 0.25).between(348, 44)
    assert [up.place(value) for value in (0, 0.25, 1)] == [348, 272, 44]
    assert [(tick.place, tick.text) for tick in up.ticks("{:.0%}".format)][1:3] == [(272, "25%"), (196, "50%")]
    assert Axis(3, 3, 1).between(20, 60).place(3) == 40  # nothing else to stand beside: the middle


def test_ticks_are_placed_to_a_hundredth() -> None:
    assert [tick.place for tick in Axis(0, 3, 1).ticks(str)] == [0, 33.33, 66.67, 100]
