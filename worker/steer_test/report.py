"""The report of a trial, as JSON."""

from pydantic import BaseModel

from neuronym.contract import Clamp, Site
from worker.steer_test.answers import ClampSetting
from worker.steering.engine import Positions


class NomineeReport(BaseModel):
    """A neuron: adding `times` its unit changed the concept by `rise` nats, and neutral prompts by `kl` nats of KL."""

    neuron: str
    site: Site
    unit: float
    times: float
    rise: float
    kl: float


class ExampleAnswers(BaseModel):
    """The two answers to one prompt."""

    prompt: str
    baseline: str
    clamped: str


class SettingResult(BaseModel):
    """The result of one setting on a set of prompts; shares are of one.

    `named`: answers that name the concept, `readable`: answers that can be read, `both`: answers that can be read and
    name the concept or, if it is to be absent, do not name it.
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
    examples: list[ExampleAnswers]

    def setting(self) -> ClampSetting:
        """Return the setting, to try it again."""
        return ClampSetting(self.name, tuple(self.clamps))


class TrialReport(BaseModel):
    """The whole of a trial. `prompts` counts the held-out prompts, `length` is the most tokens of an answer."""

    model: str
    words: list[str]
    kind: str
    absent: bool = False
    prompts: int
    length: int
    nominees: list[NomineeReport]
    choosing: list[SettingResult]
    held_out: list[SettingResult]
    best: SettingResult
    seconds: float
