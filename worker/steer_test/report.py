"""What a trial found, as JSON."""

from pydantic import BaseModel

from neuronym.contract import Clamp, Site
from worker.steer_test.answers import Setting
from worker.steering.engine import Positions


class NomineeReport(BaseModel):
    """A neuron: adding `times` its unit changed the concept by `rise` nats where it fits, for `kl` nats elsewhere."""

    neuron: str
    site: Site
    unit: float
    times: float
    rise: float
    kl: float


class Example(BaseModel):
    """One prompt's two answers."""

    prompt: str
    baseline: str
    clamped: str


class Judged(BaseModel):
    """One setting over a set of prompts; shares of one.

    `named`: answers that name the concept, `readable`: answers that can be read, `both`: answers that can be read and
    name it, or where it is to be absent do not.
    `nats_below` is how far the mean log-probability of a token fell, `repeated` the mean share of repeated 4-grams.
    """

    name: str
    clamps: list[Clamp]
    positions: Positions
    baseline_named: float
    named: float
    readable: float
    both: float
    nats_below: float
    repeated: float
    examples: list[Example]

    def setting(self) -> Setting:
        """The setting, to try it again."""
        return Setting(self.name, tuple(self.clamps))


class TrialReport(BaseModel):
    """The whole of a trial. `prompts` is how many were held out, `length` the most tokens of an answer."""

    model: str
    words: list[str]
    kind: str
    absent: bool = False
    prompts: int
    length: int
    nominees: list[NomineeReport]
    choosing: list[Judged]
    held_out: list[Judged]
    best: Judged
    seconds: float
