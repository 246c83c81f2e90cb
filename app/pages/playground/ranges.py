"""A neuron's own range in the playground: the unit of its slider, and the value it is first clamped at.

Knows what is measured of a neuron; draws nothing.

"""

from math import ceil
from typing import NamedTuple

from app.pages.playground.state import ClampRow, number_of
from app.queries.clamps import HIGH
from neuronym.contract import NeuronAnswer, Site
from neuronym.label_tables import QUANTILES

LOW = QUANTILES.index(0.001)
REACH = 8  # units to either side, at least, on a slider
FURTHEST = 1000  # units to either side, at most; a neuron whose range lies below 0 has a tiny unit
TIMES = 4  # times its own range: one range hardly changes a text, and eight break some
UNMEASURED = 20.0  # the first value of a clamp whose neuron has no measured range


class OwnRange(NamedTuple):
    """The size of one unit, and how many units a slider goes to either side."""

    unit: float
    reach: int

    @property
    def step(self) -> float:
        """The change of one key press, in units."""
        return round(0.1 * ceil(self.reach / REACH), 1)


def own_range(answer: NeuronAnswer, row: ClampRow) -> OwnRange | None:
    """The neuron's range at the row's site; None where nothing is measured, or the row's value is a factor."""
    measured = (answer.activity or {}).get(Site(row.site)) if row.site in list(Site) else None
    if measured is None or not measured.q[HIGH] or row.mode == "scale":
        return None
    unit = measured.q[HIGH]
    typed, low = (abs((value or 0.0) / unit) for value in (number_of(row.value), measured.q[LOW]))
    furthest = max(2 * low, typed if typed <= FURTHEST else 0.0)
    return OwnRange(unit, max(REACH, ceil(min(furthest, FURTHEST))))


def first_clamp(answer: NeuronAnswer, site: Site | None = None) -> ClampRow:
    """The clamp to begin with, at `TIMES` the end of the range that raised the neuron's name most.

    With `site` only effects at this site count. Without a measured effect the clamp is at `TIMES` the high end of the
    range, without a measured range at `UNMEASURED`.
    """
    effects = {
        (effect.delta, place, effect.value)
        for place, directions in (answer.effect or {}).items()
        for effect in directions.values()
        if site in (None, place)
    }
    if effects:
        _, place, value = max(effects)
        return _set_clamp(answer, place, value)
    place = site or Site.up
    measured = (answer.activity or {}).get(place)
    return _set_clamp(answer, place, measured.q[HIGH] if measured else UNMEASURED / TIMES)


def _set_clamp(answer: NeuronAnswer, site: Site, value: float) -> ClampRow:
    return ClampRow(answer.neuron, site.value, "set", f"{TIMES * value:.3g}")
