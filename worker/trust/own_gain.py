"""Whether strong labels of up and gate hold better when the gain of their own norm is folded into their rows.

Knows the report's results; measures nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from neuronym.contract import Lens, Strength
from worker.trust.recipes import OWN_GAIN, PLAIN
from worker.trust.report import THIRDS, TRIED, RecipeResult, TrustReport

CERTAIN = 3  # standard deviations: several differences are looked at, and labels of one layer are not independent


@dataclass(frozen=True)
class GainTrial:
    """Strong labels of one view, lens and site, read off bare rows and with the gain folded in."""

    lens: Lens
    bare: RecipeResult
    folded: RecipeResult

    @property
    def difference(self) -> float:
        """How much larger the share that rises beyond the control is with the gain folded in."""
        return self.folded.beyond_control - self.bare.beyond_control

    @property
    def uncertainty(self) -> float:
        """One standard deviation of the difference, at most, for as many labels that are independent."""
        return 0.5 * sqrt(1 / self.bare.labels + 1 / self.folded.labels)

    @property
    def certain(self) -> bool:
        """Whether the difference, up or down, is more than the numbers of labels leave uncertain."""
        return abs(self.difference) > CERTAIN * self.uncertainty


def gain_trials(report: TrustReport) -> Iterator[GainTrial]:
    """Compare each view that reads, site and lens, over all layers and over the last third, where both have labels."""
    for view, site in TRIED:
        for lens in PLAIN:
            for third in (None, THIRDS[-1]):
                bare, folded = (
                    report.find_recipe(recipes[lens].name, view, site, third, Strength.strong)
                    for recipes in (PLAIN, OWN_GAIN)
                )
                if bare and folded:
                    yield GainTrial(lens, bare, folded)
