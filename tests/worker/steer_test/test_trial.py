"""The trial on tiny models: its parts against plain ways to the same numbers, and the command from end to end."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner

from neuronym.contract import Clamp, Mode, Site
from tests.worker.references import generate_greedily, predict
from worker.cli.group import main
from worker.steer_test.answers import ClampSetting, generate_answers, mean_logprobs
from worker.steer_test.nomination import Nominee, clamps_within_budget, measure_units, nominate
from worker.steer_test.prompts import FILE, read_prompts
from worker.steer_test.report import TrialReport
from worker.steer_test.trial import Concept, SteerTrial, TrialEffort
from worker.steering.models import LiveModel
from worker.steering.repetition import repeated_share

PROMPT = [296, 279, 289, 262, 224]


@pytest.mark.parametrize(
    ("ids", "share"), [([], 0), ([1, 2, 3], 0), ([1, 2, 3, 4, 5], 0), ([7] * 6, 2 / 3), ([1, 2, 3, 4] * 2, 1 / 5)]
)
def test_the_share_of_repeated_4_grams(ids: list[int], share: float) -> None:
    assert repeated_share(ids) == pytest.approx(share)


def test_prompts_are_filled_in_and_kept_apart() -> None:
    prompts = read_prompts("animal")
    assert len(prompts.held_out) >= 20
    assert not set(prompts.choosing) & set(prompts.held_out)
    assert "Name an animal you love." in prompts.choosing
    assert "Name a place you love." in read_prompts("place").choosing
    assert not any("{" in text for text in [*prompts.choosing, *prompts.held_out])
    assert (prompts.leads[0].question, prompts.leads[0].answer) == (prompts.choosing[0], "My favourite animal is the")


def test_a_concept_is_named_by_whole_words() -> None:
    concept = Concept(("dog", "dogs"), "animal")
    assert [concept.named(text) for text in ("A Dog.", "dogs!", "dogma", "hotdog", "cat")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_answers_are_the_greedy_ones_of_each_setting(llama: LiveModel) -> None:
    clamps = (Clamp(layer=1, index=7, site=Site.act, value=40.0),)
    answers = generate_answers(llama, PROMPT, [ClampSetting("x", clamps), ClampSetting("none", ())], "generated", 6)
    for row, expected in ((0, ()), (1, clamps), (2, ())):
        ids, _ = generate_greedily(llama, PROMPT, list(expected), "generated", 6)
        answer_ids = ids[: next((place for place, token_id in enumerate(ids) if token_id in llama.stop), len(ids))]
        stream = llama.codec.stream(PROMPT)
        assert answers[row].text == "".join(stream.add(token_id) for token_id in answer_ids)
    assert answers[2] == answers[0]


def test_a_text_is_judged_by_the_unclamped_model(llama: LiveModel) -> None:
    texts = [[5, 6, 7], [9], []]
    means = mean_logprobs(llama, PROMPT, texts)
    for text, mean in zip(texts[:2], means, strict=False):
        logprobs = predict(llama, PROMPT + text).log_softmax(-1)
        expected = [float(logprobs[len(PROMPT) - 1 + place, token_id]) for place, token_id in enumerate(text)]
        assert mean == pytest.approx(sum(expected) / len(expected), abs=1e-4)
    assert means[2] == float("-inf")


def test_a_unit_is_the_largest_value_after_the_first_token(llama: LiveModel) -> None:
    place = (2, 5, Site.act)
    seen: list[torch.Tensor] = []
    handle = llama.sites.module(2, Site.act).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    predict(llama, PROMPT)
    handle.remove()
    assert measure_units(llama, [place], [PROMPT])[place] == pytest.approx(float(seen[0][0, 1:, 5].abs().max()))


def test_nominees_do_what_is_said_of_them(live: LiveModel) -> None:
    concept = [40, 41]
    nominees = nominate(live, concept, [PROMPT], [PROMPT], [PROMPT[::-1]])
    assert nominees and len({(nominee.layer, nominee.index) for nominee in nominees}) == len(nominees)
    assert [nominee.merit for nominee in nominees] == sorted((nominee.merit for nominee in nominees), reverse=True)
    nominee = nominees[0]
    clamp = Clamp(
        layer=nominee.layer, index=nominee.index, site=nominee.site, mode=Mode.add, value=nominee.unit * nominee.times
    )
    last = slice(len(PROMPT) - 1, None)
    plain, moved = (predict(live, PROMPT, clamps, last)[-1].log_softmax(-1) for clamps in ([], [clamp]))
    assert nominee.rise == pytest.approx(float(moved[concept].logsumexp(-1) - plain[concept].logsumexp(-1)), abs=1e-4)
    plain, moved = (predict(live, PROMPT[::-1], clamps, last)[-1].log_softmax(-1) for clamps in ([], [clamp]))
    assert nominee.kl == pytest.approx(float((plain.exp() * (plain - moved)).sum()), abs=1e-4)


def test_nominees_for_an_absent_concept_lower_it(llama: LiveModel) -> None:
    leads, neutral = [PROMPT], [PROMPT[:3]]
    nominees = nominate(llama, [33], [PROMPT], leads, neutral, absent=True)
    assert nominees and all(nominee.rise < 0 for nominee in nominees)
    merits = [nominee.merit for nominee in nominees]
    assert merits == sorted(merits, reverse=True) and merits[-1] > 0


def test_an_answer_without_the_concept_is_what_is_wanted(llama: LiveModel) -> None:
    prompts = read_prompts("city", FILE.with_name("paris.json"))
    assert len(prompts.held_out) >= 20 and not set(prompts.choosing) & set(prompts.held_out)
    assert prompts.leads[1].question == prompts.choosing[1]
    effort = TrialEffort(length=3)
    for absent in (False, True):
        (result,) = SteerTrial(llama, Concept(("zzz",), "city", absent), prompts, effort).judge(
            prompts.choosing, [ClampSetting("none", ())], "generated"
        )
        assert (result.named, result.both) == (0, result.readable if absent else 0)
        assert result.readable == 1  # the same answer as without clamps


def test_damage_is_shared_by_merit() -> None:
    good = Nominee(0, 1, Site.act, unit=2.0, times=1.0, rise=1.0, kl=0.08)
    poor = Nominee(1, 2, Site.up, unit=3.0, times=-1.0, rise=0.1, kl=0.08)
    first, second = clamps_within_budget([good, poor], 0.04)
    assert first.value / 2.0 == pytest.approx(-10 * second.value / 3.0, abs=0.05)
    assert sum(
        0.08 * (clamp.value / nominee.unit) ** 2 for clamp, nominee in ((first, good), (second, poor))
    ) == pytest.approx(0.04, rel=0.05)
    assert clamps_within_budget([good], 100.0)[0].value == 4.0  # no farther than twice what was measured


def test_the_command_writes_its_report_and_its_chart(tiny_llama: Path, tmp_path: Path) -> None:
    report, svg = tmp_path / "trial.json", tmp_path / "trial.svg"
    words = f"steer-test dog --kind animal --model {tiny_llama} --length 4 --together 1,2 --budgets 1 --strengths 1"
    options = f"--positions generated --finalists 1 --report {report} --svg {svg}"
    done = CliRunner().invoke(main, [*words.split(), *options.split()])
    assert done.exit_code == 0, done.output
    trial = TrialReport.model_validate(json.loads(report.read_text()))
    assert trial.prompts == 24 and len(trial.held_out) == 1 and len(trial.choosing) == 9
    assert trial.best.both <= min(trial.best.named, trial.best.readable)
    drawn = ElementTree.fromstring(svg.read_text())
    assert len(drawn.findall("{http://www.w3.org/2000/svg}circle")) == 10


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["zzqqzzqq", "--kind", "animal"], "is one token of this model"),
        (["dog", "--kind", "animal", "--positions", "some"], "choose from"),
        (["dog", "--kind", "animal", "--budgets", "much"], "could not convert"),
    ],
)
def test_a_mistake_is_one_sentence(tiny_llama: Path, arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(main, ["steer-test", *arguments, "--model", str(tiny_llama)])
    assert done.exit_code != 0 and sentence in done.output and "Traceback" not in done.output
