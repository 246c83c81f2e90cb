"""A request from its checks to its events."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from neuronym.contract import (
    MAX_CLAMPS,
    Clamp,
    ClampDone,
    ClampEnd,
    ClampEvent,
    ClampRequest,
    ClampResult,
    ClampStart,
    ClampToken,
    Message,
    Site,
)
from tests.checkpoints import NEURONS, VOCAB
from tests.worker.references import generate_greedily, predict, transformers_greedily
from worker.errors import RequestError
from worker.steering.codec import Codec
from worker.steering.generation import collect, generate, plan_clamp
from worker.steering.models import LiveModel

PROMPT = "My favourite animal is the"
END = 2
CLAMP = Clamp(layer=1, index=7, site=Site.act, value=40.0)


def request(**fields: object) -> ClampRequest:
    """A request for the tiny Llama."""
    request_fields = {"model": "llama", "clamps": [CLAMP], "max_new_tokens": 6, **fields}
    return ClampRequest.model_validate(request_fields if "messages" in fields else {"prompt": PROMPT, **request_fields})


def events(live: LiveModel, **fields: object) -> list[ClampEvent]:
    """All events of a run."""
    return [event for step in generate(plan_clamp(request(**fields), live), live) for event in step]


def answer(live: LiveModel, **fields: object) -> ClampResult:
    """A run as a whole."""
    return collect(events(live, **fields))


def test_a_run_starts_goes_on_by_columns_and_ends_with_a_summary(llama: LiveModel) -> None:
    start, *middle, end = events(llama, max_new_tokens=2)
    assert isinstance(start, ClampStart)
    assert start.prompt_tokens == llama.codec.prompt(PROMPT)
    assert isinstance(end, ClampEnd)
    assert end.seconds > 0
    shape = [(event.event, event.run) for event in middle if isinstance(event, ClampToken | ClampDone)]
    assert shape == [
        ("token", "baseline"),
        ("token", "clamped"),
        ("token", "baseline"),
        ("done", "baseline"),
        ("token", "clamped"),
        ("done", "clamped"),
    ]


def test_the_answer_is_what_the_references_say(llama: LiveModel) -> None:
    result = answer(llama, watch=[" dog", 5], top_logprobs=3)
    prompt = llama.codec.prompt(PROMPT)
    for name, clamps in (("baseline", []), ("clamped", [CLAMP])):
        ids, logprobs = generate_greedily(llama, prompt, clamps, "all", 6)
        run = result.runs[name]  # type: ignore[index]
        assert [token.token_id for token in run.tokens] == ids
        for token, predicted in zip(run.tokens, logprobs, strict=True):
            assert token.logprob == pytest.approx(float(predicted[token.token_id]), abs=1e-4)
            assert [top.token_id for top in token.top] == predicted.topk(3).indices.tolist()
            assert token.top[0].text == llama.codec.text(token.token_id)
    first = [predict(llama, prompt, clamps)[-1].log_softmax(-1) for clamps in ([], [CLAMP])]
    for watched, token_id in zip(result.watch, (llama.codec.find(" dog"), 5), strict=True):
        baseline, clamped = (float(logprobs[token_id]) for logprobs in first)
        assert watched.token_id == token_id
        assert watched.baseline == pytest.approx(baseline, abs=1e-4)
        assert watched.clamped == pytest.approx(clamped, abs=1e-4)
        assert watched.delta == pytest.approx(clamped - baseline, abs=1e-4)


def test_the_text_is_the_sum_of_its_tokens(llama: LiveModel) -> None:
    result = answer(llama, temperature=1.0, seed=4, max_new_tokens=60)
    for run in result.runs.values():
        assert run.text == "".join(token.text for token in run.tokens)
        assert run.text


def test_without_a_baseline_the_clamped_run_is_the_same(llama: LiveModel) -> None:
    alone, pair = answer(llama, baseline=False, watch=[5]), answer(llama, watch=[5])
    assert list(alone.runs) == ["clamped"]
    assert [t.token_id for t in alone.runs["clamped"].tokens] == [t.token_id for t in pair.runs["clamped"].tokens]
    assert (alone.watch[0].baseline, alone.watch[0].delta) == (None, None)
    assert alone.watch[0].clamped == pytest.approx(pair.watch[0].clamped, abs=1e-4)


def test_a_chat_without_clamps_is_what_generate_gives(llama: LiveModel) -> None:
    result = answer(llama, messages=[{"role": "user", "content": "dog?"}], clamps=[])
    prompt = llama.codec.chat([Message(role="user", content="dog?")])
    ids = [token.token_id for token in result.runs["baseline"].tokens]
    assert ids == transformers_greedily(llama.model, prompt, 6)


@contextmanager
def ending(live: LiveModel, rows: slice) -> Iterator[list[int]]:
    """The model made to say END at once in some of its rows; gives the number of positions in each pass."""
    end, passes = next(iter(live.stop)), list[int]()

    def say_end(_module: object, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        passes.append(inputs[0].shape[1])
        changed = output.clone()
        changed[rows, :, end] += 1000
        return changed

    handle = live.model.get_submodule("lm_head").register_forward_hook(say_end)
    try:
        yield passes
    finally:
        handle.remove()


def test_a_row_that_has_ended_stays_ended_while_the_other_goes_on(llama: LiveModel) -> None:
    with ending(llama, slice(1, 2)) as passes:
        result = answer(llama)
    stopped, running = result.runs["clamped"], result.runs["baseline"]
    assert (stopped.finish_reason, running.finish_reason) == ("stop", "length")
    assert [token.token_id for token in stopped.tokens] == [END]
    assert stopped.text == ""
    assert len(running.tokens) == len(passes) == 6


def test_a_run_is_over_when_all_rows_have_ended(llama: LiveModel) -> None:
    with ending(llama, slice(None)) as passes:
        result = answer(llama, max_new_tokens=40)
    assert {run.finish_reason for run in result.runs.values()} == {"stop"}
    assert len(passes) == 1


def test_the_same_seed_gives_the_same_answer(llama: LiveModel) -> None:
    first, again, other_seed = (answer(llama, temperature=1.0, top_p=0.9, seed=seed) for seed in (7, 7, 8))
    assert first.runs == again.runs
    assert first.runs != other_seed.runs


def test_as_many_clamps_as_may_be_sent(llama: LiveModel) -> None:
    clamps = [Clamp(layer=n % 4, index=n % NEURONS, site=list(Site)[n % 3], value=0) for n in range(MAX_CLAMPS)]
    result = answer(llama, clamps=clamps)
    ids, _ = generate_greedily(llama, llama.codec.prompt(PROMPT), clamps, "all", 6)
    assert [token.token_id for token in result.runs["clamped"].tokens] == ids


def test_values_beyond_the_models_numbers_are_refused(llama: LiveModel) -> None:
    with pytest.raises(RequestError, match="clamps: these values drive the model beyond"):
        answer(llama, clamps=[Clamp(layer=0, index=0, site=Site.act, value=1e308)])


def test_no_number_in_an_answer_is_infinite(llama: LiveModel) -> None:
    result = answer(llama, clamps=[Clamp(layer=3, index=0, site=Site.act, value=1e6)], watch=[5], top_logprobs=20)
    assert all(math.isfinite(top.logprob) for run in result.runs.values() for token in run.tokens for top in token.top)
    assert math.isfinite(result.watch[0].clamped)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"prompt": "dog " * 300}, r"prompt: its \d+ tokens and 6 new ones are more than this model's context of 256"),
        ({"max_new_tokens": 255}, r"and 255 new ones are more than this model's context of 256"),
        ({"watch": [VOCAB + 1]}, "watch: there is no token 321"),
        ({"clamps": [{"layer": 9, "index": 0, "value": 1}]}, r"clamps\.0\.layer: 9 is not in 0 to 3"),
        ({"unit": "range"}, "unit: the worker takes raw values only"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_starts(
    llama: LiveModel, fields: dict[str, object], sentence: str
) -> None:
    with pytest.raises(RequestError, match=sentence):
        plan_clamp(request(**fields), llama)


def test_a_token_without_an_embedding_is_refused(llama: LiveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Codec, "prompt", lambda *_: [VOCAB])
    with pytest.raises(RequestError, match=f"prompt: token {VOCAB} has no embedding"):
        plan_clamp(request(), llama)
