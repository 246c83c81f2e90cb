"""A neuron's own range in the playground: the unit a slider counts in, and the value a neuron is first clamped at.

Knows what is measured of a neuron; draws nothing.
"""

from math import ceil
from typing import NamedTuple

from app.pages.playground.state import Row, number_of
from app.queries.clamps import HIGH
from neuronym.contract import NeuronAnswer, Site
from neuronym.label_tables import QUANTILES

LOW = QUANTILES.index(0.001)
REACH = 8  # units that a slider goes to either side, at least
FURTHEST = 1000  # units; a neuron whose range lies below 0 has a small unit
TIMES = 4  # its own range: once is hardly seen in a text, and twice as much breaks some
UNMEASURED = 20.0


class OwnRange(NamedTuple):
    """What one unit is, and how many of them a slider goes to either side."""

    unit: float
    reach: int

    @property
    def step(self) -> float:
        """What one press of a key moves, in units."""
        return round(0.1 * ceil(self.reach / REACH), 1)


def own_range(answer: NeuronAnswer, row: Row) -> OwnRange | None:
    """The range at the row's site; None where nothing is measured, or the row's value is a factor."""
    measured = (answer.activity or {}).get(Site(row.site)) if row.site in list(Site) else None
    if measured is None or not measured.q[HIGH] or row.mode == "scale":
        return None
    unit = measured.q[HIGH]
    typed, low = (abs((value or 0.0) / unit) for value in (number_of(row.value), measured.q[LOW]))
    furthest = max(2 * low, typed if typed <= FURTHEST else 0.0)
    return OwnRange(unit, max(REACH, ceil(min(furthest, FURTHEST))))


def first_clamp(answer: NeuronAnswer, site: Site | None = None) -> Row:
    """The clamp to begin with: the site and the end of its range that raised its name most, `TIMES` over.

    `site`: this one alone. Where no effect is measured it is the high end of the range, else `UNMEASURED`.
    """
    effects = {
        (effect.delta, place, effect.value)
        for place, directions in (answer.effect or {}).items()
        for effect in directions.values()
        if site in (None, place)
    }
    if effects:
        _, place, value = max(effects)
        return _set(answer, place, value)
    place = site or Site.up
    measured = (answer.activity or {}).get(place)
    return _set(answer, place, measured.q[HIGH] if measured else UNMEASURED / TIMES)


def _set(answer: NeuronAnswer, site: Site, value: float) -> Row:
    return Row(answer.neuron, site.value, "set", f"{TIMES * value:.3g}")
