"""Where the names of lines stand beside a chart."""

from collections.abc import Sequence


def set_apart(places: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Move places from each other until every two are at least `distance` apart.

    Results are in the order of `places`. All lie from `low` to `high`, no two change their order, and what has room
    stays where it is. Where `high - low` is too short for all, they share it equally.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    distance = min(distance, (high - low) / max(1, len(places) - 1))
    found = list(places)
    least = low
    for index in order:  # down, away from the one before
        found[index] = max(found[index], least)
        least = found[index] + distance
    most = high
    for index in reversed(order):  # and back, where the last ones left the picture
        found[index] = min(found[index], most)
        most = found[index] - distance
    return found
