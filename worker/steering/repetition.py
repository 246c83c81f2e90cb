"""The share of a text that repeats itself, from its token ids."""

from collections.abc import Sequence

LENGTH = 4


def repeated_share(token_ids: Sequence[int]) -> float:
    """The share of 4-grams that have occurred before in the text; 0 for a text too short to repeat one."""
    grams = list(zip(*(token_ids[start:] for start in range(LENGTH)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
