"""A sweep against single clamps: every value's row says what a run with that value alone says."""

import pytest
import torch

from neuronym.contract import Clamp, SweepRequest
from tests.worker.references import generate_greedily
from worker.errors import RequestError
from worker.steering import sweep as sweeping
from worker.steering.clamp import prepare_rows
from worker.steering.models import LiveModel
from worker.steering.sweep import plan_sweep, sweep

CLAMPS = [{"layer": 2, "index": 5, "site": "act", "value": 0}, {"layer": 1, "index": 3, "mode": "add", "value": 2}]
VALUES = [-30.0, 0.0, 12.5, 40.0, 60.0]


def sweep_request(**fields: object) -> SweepRequest:
    """A sweep of the first of two clamps."""
    body = {
        "model": "tiny",
        "prompt": "My favourite animal is the",
        "clamps": CLAMPS,
        "values": VALUES,
        "watch": [7, 9],
    }
    return SweepRequest.model_validate(body | fields)


@pytest.mark.parametrize("positions", ["all", "prompt", "generated"])
def test_each_value_is_what_a_clamp_of_it_alone_gives(live: LiveModel, positions: str) -> None:
    request = sweep_request(positions=positions)
    plan = plan_sweep(request, live)
    curve = sweep(plan, live)
    _, plain = generate_greedily(live, plan.prompt, [], request.positions, 1)
    assert [token.baseline for token in curve.tokens] == pytest.approx(plain[0, [7, 9]].tolist(), abs=1e-4)
    for place, value in enumerate(VALUES):
        clamps = [request.clamps[0].model_copy(update={"value": value}), request.clamps[1]]
        _, expected = generate_greedily(live, plan.prompt, clamps, request.positions, 1)
        got = [token.logprobs[place] for token in curve.tokens]
        assert got == pytest.approx(expected[0, [7, 9]].tolist(), abs=1e-4)
    assert curve.tokens[0].probabilities == pytest.approx(torch.tensor(curve.tokens[0].logprobs).exp().tolist())


def test_a_long_prompt_goes_in_groups_and_says_the_same(llama: LiveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_sweep(sweep_request(), llama)
    whole = sweep(plan, llama)
    monkeypatch.setattr(sweeping, "BATCH", 3 * len(plan.prompt))
    assert [len(values) for values in plan.groups()] == [2, 2, 1]
    parts = sweep(plan, llama)
    for whole_token, part_token in zip(whole.tokens, parts.tokens, strict=True):
        assert whole_token.logprobs == pytest.approx(part_token.logprobs, abs=1e-5)


def test_a_span_has_both_its_ends() -> None:
    assert sweep_request(values={"from": -2, "to": 4, "steps": 4}).swept() == [-2, 0, 2, 4]


def test_rows_without_a_clamp_somewhere_stay_as_they_are(llama: LiveModel) -> None:
    rows = [
        [Clamp(layer=1, index=2, value=3)],
        [],
        [Clamp(layer=3, index=1, value=4), Clamp(layer=1, index=9, value=1)],
    ]
    first, second = prepare_rows(rows, llama.sites).edits
    assert first.scale.tolist() == [[0, 1], [1, 1], [1, 0]]
    assert first.shift.tolist() == [[3, 0], [0, 0], [0, 1]]
    assert second.scale.tolist() == [[1], [1], [0]]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"clamps": [{"layer": 99, "index": 0, "value": 0}]}, r"clamps\.0\.layer: 99 is not in 0 to"),
        ({"unit": "range"}, "raw values"),
        ({"watch": [10**9]}, "there is no token"),
    ],
)
def test_what_cannot_be_run_is_refused(llama: LiveModel, fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        plan_sweep(sweep_request(**fields), llama)


@pytest.mark.parametrize("fields", [{"clamp": 2}, {"messages": [{"role": "user", "content": "x"}]}, {"values": []}])
def test_a_request_that_contradicts_itself_is_no_request(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        sweep_request(**fields)
