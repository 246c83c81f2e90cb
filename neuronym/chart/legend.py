"""Places the names of a chart's lines beside it so that they do not overlap."""

from collections.abc import Sequence


def set_apart(places: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Move places from each other until every two are at least `distance` apart.

    Results are in the order of `places`. All lie from `low` to `high`, no two change their order, and what has room
    stays where it is. Where `high - low` is too short for all, they share it equally.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    distance = min(distance, (high - low) / max(1, len(places) - 1))
    moved = list(places)
    least = low
    for index in order:  # forwards, away from the place before
        moved[index] = max(moved[index], least)
        least = moved[index] + distance
    most = high
    for index in reversed(order):  # and backwards, where the last places lie beyond `high`
        moved[index] = min(moved[index], most)
        most = moved[index] - distance
    return moved
