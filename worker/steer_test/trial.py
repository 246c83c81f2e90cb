"""A trial of steering: nominate neurons for a concept, try settings on some prompts, judge the best on held-out ones.

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
from worker.steer_test.answers import AnswerText, ClampSetting, generate_answers, question_ids
from worker.steer_test.fitting import fit
from worker.steer_test.nomination import Nominee, clamps_within_budget, even_clamps, nominate
from worker.steer_test.prompts import Prompts
from worker.steer_test.report import ExampleAnswers, NomineeReport, SettingResult, TrialReport
from worker.steer_test.targets import Target, build_targets
from worker.steering.engine import Positions
from worker.steering.models import LiveModel

NATS = 1.0
REPEATED = 0.2
ROWS = 13  # settings of one batch
SHOWN = 5  # example answers in the report

Say = Callable[[str], None]


@dataclass(frozen=True)
class Concept:
    """The concept that answers should name, and the kind of thing it is. `absent`: answers should not name it."""

    words: tuple[str, ...]
    kind: str
    absent: bool = False

    def named(self, text: str) -> bool:
        """Whether a text holds one of the words, whatever its case."""
        return bool(re.search(rf"\b({'|'.join(map(re.escape, self.words))})\b", text, re.IGNORECASE))

    def tokens(self, live: LiveModel) -> list[int]:
        """Find the tokens that are a whole word, with and without a space before, in lower case and capitalised."""
        forms = {form for word in self.words for form in (word, word.capitalize())}
        ids = [live.codec.plain(space + form) for form in sorted(forms) for space in (" ", "")]
        single = sorted({token_ids[0] for token_ids in ids if len(token_ids) == 1})
        if not single:
            raise RequestError(f"concept: none of {', '.join(self.words)} is one token of this model.")
        return single


@dataclass(frozen=True)
class TrialEffort:
    """The extent of a trial: tokens of an answer, how many neurons together, how far, where, and how many are judged.

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


class SteerTrial:
    """The trial of one concept on one model."""

    def __init__(
        self,
        live: LiveModel,
        concept: Concept,
        prompts: Prompts,
        effort: TrialEffort = TrialEffort(),
        say: Say = lambda _: None,
    ):
        self.live, self.concept, self.prompts, self.effort, self.say = live, concept, prompts, effort, say

    def run(self, extra: Sequence[ClampSetting] = (), nominees: Sequence[Nominee] = ()) -> TrialReport:
        """Run the whole trial; `extra` are settings to judge beside those made from the nominees."""
        started = perf_counter()
        nominees = nominees or self.find_nominees()
        self.say(f"{len(nominees)} neurons {'lower' if self.concept.absent else 'raise'} the concept")
        results = [
            result
            for positions in self.effort.positions
            for result in self.judge(self.prompts.choosing, _grid_settings(nominees, self.effort), positions)
        ]
        results += self.judge(self.prompts.choosing, self.fitted_settings(), "generated")
        finalists = sorted(results, key=_worth, reverse=True)[: self.effort.finalists]
        held_out = []
        for positions in self.effort.positions:
            chosen = [result.setting() for result in finalists if result.positions == positions] + list(extra)
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
            nominees=[_nominee_report(nominee) for nominee in nominees[: max(self.effort.together)]],
            choosing=results,
            held_out=sorted(held_out, key=_worth, reverse=True),
            best=best,
            seconds=round(perf_counter() - started, 1),
        )

    def judge(
        self, prompts: Sequence[str], settings: Sequence[ClampSetting], positions: Positions
    ) -> list[SettingResult]:
        """Judge each setting over all prompts."""
        results = []
        for start in range(0, len(settings), ROWS):
            batch = settings[start : start + ROWS]
            answers = [
                generate_answers(self.live, question_ids(self.live, text), batch, positions, self.effort.length)
                for text in prompts
            ]
            results += [
                self._judge_setting(setting, positions, place, prompts, answers)
                for place, setting in enumerate(batch, 1)
            ]
            for result in results[-len(batch) :]:
                self.say(
                    f"{positions:9} {result.named:5.0%} named {result.readable:5.0%} readable {result.both:5.0%} both "
                    f"{result.name}"
                )
        return results

    def find_nominees(self) -> list[Nominee]:
        """Find neurons for the concept, best first."""
        texts = []
        for text in self.prompts.choosing:
            ids = question_ids(self.live, text)
            answer = generate_answers(self.live, ids, [], "all", self.effort.length)[0]
            texts.append(ids + self.live.codec.plain(answer.text))
        leads, neutral = (
            [question_ids(self.live, lead.question, lead.answer) for lead in group]
            for group in (self.prompts.leads, self.prompts.neutral)
        )
        return nominate(self.live, self.concept.tokens(self.live), texts, leads, neutral, self.concept.absent)

    def fitted_settings(self) -> list[ClampSetting]:
        """Fit neurons by gradient towards answers that name the first of the words."""
        if not self.effort.fitted or self.concept.absent:
            return []
        leads = self.prompts.leads_to(self.concept.words[0])
        aims = build_targets(self.live, self.concept.words[0], self.prompts.choosing, leads, self.effort.length)
        others = [self._own_answer(lead.question) for lead in self.prompts.neutral]
        fitted = fit(self.live, aims, others, self.effort.fitted, self.say)
        return [fitted.setting(self.live, strength) for strength in self.effort.fitted_strengths]

    def _own_answer(self, text: str) -> Target:
        """Pair a question with the model's own answer, which should stay as it is."""
        prompt = question_ids(self.live, text)
        answer = generate_answers(self.live, prompt, [], "all", self.effort.length)[0]
        return Target(prompt, self.live.codec.plain(answer.text), 1)

    def _judge_setting(
        self,
        setting: ClampSetting,
        positions: Positions,
        place: int,
        prompts: Sequence[str],
        answers: list[list[AnswerText]],
    ) -> SettingResult:
        pairs = [(rows[0], rows[place]) for rows in answers]
        named = [self.concept.named(clamped.text) for _, clamped in pairs]
        aimed = [name is not self.concept.absent for name in named]
        readable = [_readable(baseline, clamped) for baseline, clamped in pairs]
        count = len(pairs)
        return SettingResult(
            name=setting.name,
            clamps=list(setting.clamps),
            positions=positions,
            baseline_named=sum(self.concept.named(baseline.text) for baseline, _ in pairs) / count,
            named=sum(named) / count,
            readable=sum(readable) / count,
            both=sum(map(min, zip(aimed, readable, strict=True))) / count,
            nats_below=sum(baseline.logprob - max(clamped.logprob, -30.0) for baseline, clamped in pairs) / count,
            repeated=sum(clamped.repeated for _, clamped in pairs) / count,
            examples=[
                ExampleAnswers(prompt=text, baseline=baseline.text, clamped=clamped.text)
                for text, (baseline, clamped) in list(zip(prompts, pairs, strict=True))[:SHOWN]
            ],
        )


def _readable(baseline: AnswerText, clamped: AnswerText) -> bool:
    return clamped.logprob >= baseline.logprob - NATS and clamped.repeated < REPEATED


def _worth(result: SettingResult) -> tuple[float, float, float]:
    """The sort key of a result: both named and readable, then readable, then how likely its text is to the model."""
    return result.both, result.readable, -result.nats_below


def _grid_settings(nominees: Sequence[Nominee], effort: TrialEffort) -> list[ClampSetting]:
    """Combine the best nominees at every budget and strength; also hold the best one alone instead of moving it."""
    settings = []
    for count in effort.together:
        if count > len(nominees):
            break
        first = nominees[:count]
        settings += [
            ClampSetting(f"add {count} for {budget:g} nats", clamps_within_budget(first, budget))
            for budget in effort.budgets
        ]
        settings += [
            ClampSetting(f"add {count} evenly at {far:g}", even_clamps(first, far)) for far in effort.strengths
        ]
    if effort.alone and nominees:
        settings += [ClampSetting(f"set 1 at {far:g}", (nominees[0].clamp(far, Mode.set),)) for far in effort.strengths]
    return settings


def _nominee_report(nominee: Nominee) -> NomineeReport:
    return NomineeReport(
        neuron=str(NeuronName(nominee.layer, nominee.index)),
        site=nominee.site,
        unit=nominee.unit,
        times=nominee.times,
        rise=nominee.rise,
        kl=nominee.kl,
    )
