"""The decode loop against slow references: model.generate, and everything read anew for every token."""

import pytest
import torch
from transformers.generation.logits_process import TopPLogitsWarper

from neuronym.contract import Clamp, Site
from tests.checkpoints import LAYERS
from tests.worker.references import generate_greedily, transformers_greedily
from worker.steering import engine as decoding
from worker.steering.clamp import prepare
from worker.steering.engine import Column, Positions, Sampler, decode, nucleus
from worker.steering.models import LiveModel

PROMPT = [296, 279, 289, 262, 224, 31, 40, 77]
STEPS = 12


def columns(
    live: LiveModel,
    clamps: list[Clamp],
    *,
    prompt: list[int] = PROMPT,
    rows: int = 2,
    positions: Positions = "all",
    sampler: Sampler | None = None,
    count: int = STEPS,
) -> list[Column]:
    """All columns of a run."""
    edits = prepare(clamps, live.sites)
    run = decode(
        live.model,
        prompt,
        edits,
        rows=rows,
        positions=positions,
        sampler=sampler or Sampler(),
        max_new_tokens=count,
    )
    return [column for column in run if column is not None]


def row(run: list[Column], index: int) -> list[int]:
    """The ids of one row."""
    return [column.token_ids[index] for column in run]


def predictions(run: list[Column], index: int) -> torch.Tensor:
    """The predictions of one row, `(steps, vocab)`."""
    return torch.stack([column.logprobs[index] for column in run])


@pytest.mark.parametrize("prompt", [PROMPT, PROMPT[:1]])
def test_without_clamps_both_rows_are_what_generate_gives(live: LiveModel, prompt: list[int]) -> None:
    run = columns(live, [], prompt=prompt)
    expected = transformers_greedily(live.model, prompt, STEPS)
    assert row(run, 0)[: len(expected)] == expected
    assert row(run, 1) == row(run, 0)


@pytest.mark.parametrize("layer, chunk", [(0, 3), (1, 512), (LAYERS - 1, 3)])
@pytest.mark.parametrize("positions", ["all", "prompt", "generated"])
def test_clamps_hold_where_they_are_asked_to(
    live: LiveModel, positions: Positions, layer: int, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK", chunk)
    clamps = [Clamp(layer=layer, index=7, site=Site.act, value=40.0)]
    run = columns(live, clamps, positions=positions)
    for index, expected in (
        (0, generate_greedily(live, PROMPT, [], positions, STEPS)),
        (1, generate_greedily(live, PROMPT, clamps, positions, STEPS)),
    ):
        assert row(run, index) == expected[0]
        assert torch.allclose(predictions(run, index), expected[1], atol=1e-4)
    assert not torch.allclose(predictions(run, 1), predictions(run, 0), atol=1e-3)


def test_the_clamped_row_alone_is_the_clamped_row_of_a_pair(live: LiveModel) -> None:
    clamps = [Clamp(layer=1, index=7, site=Site.act, value=40.0)]
    assert row(columns(live, clamps, rows=1), 0) == row(columns(live, clamps), 1)


def test_below_the_first_clamp_the_prompt_is_read_as_one_row(llama: LiveModel) -> None:
    rows_seen: list[int] = []
    handles = [
        llama.sites.module(layer, Site.up).register_forward_hook(lambda _m, x, _y: rows_seen.append(len(x[0])))
        for layer in range(LAYERS)
    ]
    columns(llama, [Clamp(layer=2, index=0, value=1)], count=1)
    for handle in handles:
        handle.remove()
    assert rows_seen == [1, 1, 1, 2]  # the clamp makes two of one behind the projection of its layer


def test_a_long_prompt_can_be_left_between_its_chunks(llama: LiveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 3)
    run = decode(
        llama.model, PROMPT, prepare([], llama.sites), rows=2, positions="all", sampler=Sampler(), max_new_tokens=1
    )
    assert [next(run), next(run), next(run)] == [None, None, None]
    run.close()
    with pytest.raises(StopIteration):
        next(run)


def test_between_two_steps_the_model_is_unhooked_and_the_threads_are_as_they_were(llama: LiveModel) -> None:
    threads: list[int] = []
    edits = prepare([Clamp(layer=0, index=0, value=1)], llama.sites)
    run = decode(llama.model, PROMPT * 3, edits, rows=2, positions="all", sampler=Sampler(), max_new_tokens=9)
    handle = llama.model.register_forward_pre_hook(lambda *_: threads.append(torch.get_num_threads()))
    with decoding.threads(3):
        for _ in range(4):
            next(run)
            assert not llama.sites.module(0, Site.up)._forward_hooks
            assert torch.get_num_threads() == 3
        run.close()
    handle.remove()
    assert threads == [3, 1, 1]  # a prompt is worth all of them, a step of a small model is not
    assert not torch.is_inference_mode_enabled()


# --- choosing ------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_text_and_another_one_another(llama: LiveModel) -> None:
    first, again, other_seed = (
        columns(llama, [], sampler=Sampler(temperature=1.0, seed=seed), count=30) for seed in (1, 1, 2)
    )
    assert row(first, 0) == row(again, 0)
    assert row(first, 0) != row(other_seed, 0)


def test_rows_that_predict_alike_choose_alike(llama: LiveModel) -> None:
    run = columns(llama, [], sampler=Sampler(temperature=1.5, top_p=0.9, seed=3), count=30)
    assert row(run, 0) == row(run, 1)
    assert len(set(row(run, 0))) > 5


def test_a_long_sample_follows_the_softmax() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    sampler = Sampler(temperature=0.5, seed=0)
    drawn = torch.tensor([int(sampler.choose(logits)) for _ in range(20_000)])
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    assert torch.allclose(shares, (logits[0] / 0.5).softmax(-1), atol=0.01)


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_the_nucleus_is_that_of_transformers(top_p: float) -> None:
    scores = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)) * 3
    expected = TopPLogitsWarper(top_p)(torch.zeros(3, 1, dtype=torch.long), scores)
    assert torch.equal(nucleus(scores, top_p), expected)


@pytest.mark.parametrize("temperature", [0.0, 1e-50, 1e-6])
def test_the_coldest_temperatures_are_greedy(temperature: float) -> None:
    logits = torch.tensor([[1.0, 1.0001, 0.5], [3.0, 1.0, 3.0]])
    assert Sampler(temperature, seed=5).choose(logits).tolist() == [1, 0]
