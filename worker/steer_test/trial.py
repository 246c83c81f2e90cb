"""The trial: nominate neurons for a concept, try settings on prompts for choosing, judge the best on held-out ones.

An answer counts as readable if the unclamped model gives its tokens a mean log-probability within one nat of the
baseline answer's, and fewer than a fifth of its 4-grams are repeated.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from neuronym.contract import Mode
from neuronym.neuron_name import NeuronName
from worker.errors import RequestError
from worker.steer_test.answers import AnswerText, Setting, answers, question
from worker.steer_test.fitting import fit
from worker.steer_test.nomination import Nominee, evenly, nominate, share
from worker.steer_test.prompts import Prompts
from worker.steer_test.report import Example, Judged, NomineeReport, TrialReport
from worker.steer_test.targets import Target, targets
from worker.steering.engine import Positions
from worker.steering.models import Live

NATS = 1.0
REPEATED = 0.2
ROWS = 13  # settings of one batch
SHOWN = 5  # example answers in the report

Say = Callable[[str], None]


@dataclass(frozen=True)
class Concept:
    """What answers are searched for, and the kind of thing it is. `absent`: the aim is that it is not named."""

    words: tuple[str, ...]
    kind: str
    absent: bool = False

    def named(self, text: str) -> bool:
        """Whether a text holds one of the words, whatever its case."""
        return bool(re.search(rf"\b({'|'.join(map(re.escape, self.words))})\b", text, re.IGNORECASE))

    def tokens(self, live: Live) -> list[int]:
        """The words that are one token each, as they start a word or stand alone, in lower case and capitalised."""
        forms = {form for word in self.words for form in (word, word.capitalize())}
        ids = [live.codec.plain(space + form) for form in sorted(forms) for space in (" ", "")]
        found = sorted({one[0] for one in ids if len(one) == 1})
        if not found:
            raise RequestError(f"concept: none of {', '.join(self.words)} is one token of this model.")
        return found


@dataclass(frozen=True)
class Effort:
    """How much is tried: tokens of an answer, how many neurons together, how far, where, and how many are judged.

    `budgets` are nats of KL to share by merit; `strengths` are even moves, over the root of the number of neurons.
    `fitted` is how many neurons are moved by gradient together, 0 for none, at `fitted_strengths` times the moves.
    """

    length: int = 32
    together: tuple[int, ...] = (1, 16)
    budgets: tuple[float, ...] = (0.02, 0.08)
    strengths: tuple[float, ...] = (1.0, 1.5, 2.0)
    positions: tuple[Positions, ...] = ("generated", "all")
    finalists: int = 6
    alone: bool = True
    fitted: int = 64
    fitted_strengths: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1)


class Trial:
    """One concept on one model."""

    def __init__(
        self, live: Live, concept: Concept, prompts: Prompts, effort: Effort = Effort(), say: Say = lambda _: None
    ):
        self.live, self.concept, self.prompts, self.effort, self.say = live, concept, prompts, effort, say

    def run(self, extra: Sequence[Setting] = (), nominees: Sequence[Nominee] = ()) -> TrialReport:
        """The whole measurement; `extra` are settings to judge beside those that are found from the nominees."""
        started = perf_counter()
        nominees = nominees or self.nominees()
        self.say(f"{len(nominees)} neurons {'lower' if self.concept.absent else 'raise'} the concept")
        tried = [
            judged
            for positions in self.effort.positions
            for judged in self.judge(self.prompts.choosing, _grid(nominees, self.effort), positions)
        ]
        tried += self.judge(self.prompts.choosing, self.fits(), "generated")
        finalists = sorted(tried, key=_worth, reverse=True)[: self.effort.finalists]
        held_out = []
        for positions in self.effort.positions:
            chosen = [one.setting() for one in finalists if one.positions == positions] + list(extra)
            if chosen:
                held_out += self.judge(self.prompts.held_out, chosen, positions)
        best = max(held_out, key=_worth)
        return TrialReport(
            model=self.live.name,
            words=list(self.concept.words),
            kind=self.concept.kind,
            absent=self.concept.absent,
            prompts=len(self.prompts.held_out),
            length=self.effort.length,
            nominees=[_nominee(one) for one in nominees[: max(self.effort.together)]],
            choosing=tried,
            held_out=sorted(held_out, key=_worth, reverse=True),
            best=best,
            seconds=round(perf_counter() - started, 1),
        )

    def judge(self, prompts: Sequence[str], settings: Sequence[Setting], positions: Positions) -> list[Judged]:
        """Each setting over all prompts."""
        judged = []
        for at in range(0, len(settings), ROWS):
            batch = settings[at : at + ROWS]
            found = [
                answers(self.live, question(self.live, text), batch, positions, self.effort.length) for text in prompts
            ]
            judged += [self._judged(one, positions, place, prompts, found) for place, one in enumerate(batch, 1)]
            for one in judged[-len(batch) :]:
                self.say(
                    f"{positions:9} {one.named:5.0%} named {one.readable:5.0%} readable {one.both:5.0%} both {one.name}"
                )
        return judged

    def nominees(self) -> list[Nominee]:
        """Neurons for the concept, best first."""
        texts = []
        for text in self.prompts.choosing:
            ids = question(self.live, text)
            answer = answers(self.live, ids, [], "all", self.effort.length)[0]
            texts.append(ids + self.live.codec.plain(answer.text))
        leads, neutral = (
            [question(self.live, lead.question, lead.answer) for lead in group]
            for group in (self.prompts.leads, self.prompts.neutral)
        )
        return nominate(self.live, self.concept.tokens(self.live), texts, leads, neutral, self.concept.absent)

    def fits(self) -> list[Setting]:
        """Neurons moved together by gradient, towards answers that name the first of the words."""
        if not self.effort.fitted or self.concept.absent:
            return []
        leads = self.prompts.leads_to(self.concept.words[0])
        aims = targets(self.live, self.concept.words[0], self.prompts.choosing, leads, self.effort.length)
        others = [self._answered(lead.question) for lead in self.prompts.neutral]
        found = fit(self.live, aims, others, self.effort.fitted, self.say)
        return [found.setting(self.live, strength) for strength in self.effort.fitted_strengths]

    def _answered(self, text: str) -> Target:
        """A question with the model's own answer, which is to stay as it is."""
        prompt = question(self.live, text)
        answer = answers(self.live, prompt, [], "all", self.effort.length)[0]
        return Target(prompt, self.live.codec.plain(answer.text), 1)

    def _judged(
        self, setting: Setting, positions: Positions, place: int, prompts: Sequence[str], found: list[list[AnswerText]]
    ) -> Judged:
        pairs = [(rows[0], rows[place]) for rows in found]
        named = [self.concept.named(clamped.text) for _, clamped in pairs]
        wanted = [name is not self.concept.absent for name in named]
        readable = [_readable(baseline, clamped) for baseline, clamped in pairs]
        count = len(pairs)
        return Judged(
            name=setting.name,
            clamps=list(setting.clamps),
            positions=positions,
            baseline_named=sum(self.concept.named(baseline.text) for baseline, _ in pairs) / count,
            named=sum(named) / count,
            readable=sum(readable) / count,
            both=sum(map(min, zip(wanted, readable, strict=True))) / count,
            nats_below=sum(baseline.logprob - max(clamped.logprob, -30.0) for baseline, clamped in pairs) / count,
            repeated=sum(clamped.repeated for _, clamped in pairs) / count,
            examples=[
                Example(prompt=text, baseline=baseline.text, clamped=clamped.text)
                for text, (baseline, clamped) in list(zip(prompts, pairs, strict=True))[:SHOWN]
            ],
        )


def _readable(baseline: AnswerText, clamped: AnswerText) -> bool:
    return clamped.logprob >= baseline.logprob - NATS and clamped.repeated < REPEATED


def _worth(one: Judged) -> tuple[float, float, float]:
    """Named and readable first; of equals the more readable, then the closer to the model's own way."""
    return one.both, one.readable, -one.nats_below


def _grid(nominees: Sequence[Nominee], effort: Effort) -> list[Setting]:
    """The best few, more, and many together, at every budget of damage; and the best alone held rather than moved."""
    settings = []
    for count in effort.together:
        if count > len(nominees):
            break
        first = nominees[:count]
        settings += [Setting(f"add {count} for {budget:g} nats", share(first, budget)) for budget in effort.budgets]
        settings += [Setting(f"add {count} evenly at {far:g}", evenly(first, far)) for far in effort.strengths]
    if effort.alone and nominees:
        settings += [Setting(f"set 1 at {far:g}", (nominees[0].clamp(far, Mode.set),)) for far in effort.strengths]
    return settings


def _nominee(one: Nominee) -> NomineeReport:
    return NomineeReport(
        neuron=str(NeuronName(one.layer, one.index)),
        site=one.site,
        unit=one.unit,
        times=one.times,
        rise=one.rise,
        kl=one.kl,
    )
