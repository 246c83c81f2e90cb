"""Neurons fitted together: what is aimed at, which are chosen, and that clamps do what the fit believed they do."""

import pytest
import torch

from neuronym.contract import Mode, Site
from worker.steer_test import fitting
from worker.steer_test.answers import question_ids
from worker.steer_test.fitting import FittedMoves, fit, likelihood
from worker.steer_test.prompts import read_prompts
from worker.steer_test.targets import BEGINNINGS, Target, build_targets, pad_targets
from worker.steering.clamp import prepare
from worker.steering.models import LiveModel

QUESTIONS = ["What is it?", "Name one."]


@pytest.fixture(scope="module")
def aims(llama: LiveModel) -> list[Target]:
    return build_targets(llama, "dog", QUESTIONS, read_prompts("animal").leads, length=6)


@pytest.fixture(scope="module")
def others(llama: LiveModel) -> list[Target]:
    prompt = question_ids(llama, "What is the capital of France?")
    return [Target(prompt, llama.codec.plain(" Paris is the one"), 1)]


@pytest.fixture(scope="module")
def fitted(llama: LiveModel, aims: list[Target], others: list[Target]) -> FittedMoves:
    return fit(llama, aims, others, 12)


def test_targets_lead_up_to_the_concept_and_go_on_as_the_model_does(llama: LiveModel, aims: list[Target]) -> None:
    assert len(aims) == BEGINNINGS * len(QUESTIONS)
    texts = [llama.codec.text(target.answer[target.leading - 1]) for target in aims]
    whole = ["".join(map(llama.codec.text, target.answer[: target.leading])) for target in aims]
    assert all(text.endswith(" dog") for text in whole), texts
    assert aims[0].prompt == question_ids(llama, QUESTIONS[0])
    assert all(target.leading <= len(target.answer) <= target.leading + 6 for target in aims)


def test_a_name_takes_no_article() -> None:
    prompts = read_prompts("city")
    assert [lead.answer[-4:] for lead in prompts.leads_to("dog")] == [" the"] * len(prompts.leads)
    assert not any(lead.answer.endswith(" the") for lead in prompts.leads_to("Paris"))


def test_tokens_are_weighted_by_where_they_stand() -> None:
    batch = pad_targets([Target([5, 6, 7], [1, 2, 3, 4], 2), Target([5], [9], 1)], (1.0, 8.0, 0.25))
    assert batch.tokens.tolist() == [[5, 6, 7, 1, 2, 3, 4], [5, 9, 0, 0, 0, 0, 0]]
    assert batch.generated.tolist() == [[0, 0, 1, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0, 0]]
    assert batch.weights.tolist() == [[0, 0, 1, 8, 0.25, 0.25, 0], [8, 0, 0, 0, 0, 0, 0]]


def test_a_fit_makes_its_targets_likelier(
    llama: LiveModel, fitted: FittedMoves, aims: list[Target], others: list[Target]
) -> None:
    batch = pad_targets(aims)
    with torch.no_grad():
        plain = likelihood(llama, batch, {})
        moved = likelihood(llama, batch, fitting._spread(llama, fitted.neurons, fitted.units * fitted.moves))
    assert (moved > plain).all()
    assert fitted.moves.abs().max() <= fitting.FARTHEST
    again = fit(llama, aims, others, 12)
    assert torch.equal(again.neurons, fitted.neurons) and torch.allclose(again.moves, fitted.moves, atol=1e-3)


def test_clamps_do_what_the_fit_believed(llama: LiveModel, fitted: FittedMoves, aims: list[Target]) -> None:
    setting = fitted.setting(llama)
    assert len({(clamp.layer, clamp.index) for clamp in setting.clamps}) == 12
    assert {(clamp.site, clamp.mode) for clamp in setting.clamps} == {(Site.act, Mode.add)}
    target = aims[0]
    ids = target.prompt + target.answer
    with torch.inference_mode(), prepare(setting.clamps, llama.sites).hooked(rows=1, since=len(target.prompt) - 1):
        clamped = llama.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    with torch.no_grad():
        shifts = fitting._spread(llama, fitted.neurons, fitted.units * fitted.moves)
        believed = fitting._predictions(llama, pad_targets([target]), shifts)[0]
    last = len(ids) - 2  # the position after it predicts nothing of the answer
    assert torch.allclose(clamped[:last], believed[:last], atol=0.01)  # clamps are rounded to three digits


def test_the_model_is_left_as_it_was(llama: LiveModel, fitted: FittedMoves) -> None:
    assert fitted.units.min() >= 0
    assert all(parameter.grad is None for parameter in llama.model.parameters())
    hooks = [module for module in llama.model.modules() if module._forward_pre_hooks or module._forward_hooks]
    assert hooks == []
