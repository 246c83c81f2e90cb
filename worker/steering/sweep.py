"""A sweep on one live model: one clamp at many values, one row a value, all rows from the same prompt.

Only the first prediction is needed, so a sweep is one pass over the prompt, shared by all rows below the first
clamp. Knows the contract and the decode loop; knows nothing of threads, queues or HTTP.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter

import torch

from neuronym.contract import Clamp, SweepCurve, SweepRequest, SweptToken
from worker.errors import RequestError
from worker.steering.clamp import prepare_rows
from worker.steering.engine import Sampler, decode
from worker.steering.generation import read_prompt
from worker.steering.models import LiveModel

BATCH = 16_384  # tokens of one pass, rows times prompt: bounds the memory of the cache


@dataclass(frozen=True)
class SweepPlan:
    """A sweep that its model can run. Holds no weights."""

    request: SweepRequest
    prompt: list[int]
    watch: list[int]

    def groups(self) -> Iterator[list[float]]:
        """Yield the values of each pass: all in one, unless the prompt is long."""
        values = self.request.swept()
        size = max(1, BATCH // len(self.prompt) - 1)
        for start in range(0, len(values), size):
            yield values[start : start + size]


def plan_sweep(request: SweepRequest, live: LiveModel) -> SweepPlan:
    """Check a sweep request against a model.

    Raises:
        RequestError: the model cannot run the request; the message names the field and what is allowed.
    """
    if request.unit != "raw" or request.pair:
        raise RequestError("unit, pair: the worker takes raw values for one model; ranges are in the label file.")
    live.sites.check(request.clamps)
    return SweepPlan(request, read_prompt(request, live, room=1), [live.codec.find(token) for token in request.watch])


def sweep(plan: SweepPlan, live: LiveModel) -> SweepCurve:
    """Compute the watched tokens' natural-log probabilities at every value, and without any clamp."""
    started = perf_counter()
    predictions = [_first_predictions(plan, values, live) for values in plan.groups()]
    baseline = predictions[0][0].tolist()  # (watched,)
    swept = torch.cat([rows[1:] for rows in predictions])  # (values, watched)
    if not swept.isfinite().all():
        raise RequestError("values: some drive the model beyond what its numbers can hold. Use smaller ones.")
    tokens = [
        SweptToken(
            token_id=token_id,
            text=live.codec.text(token_id),
            baseline=baseline[place],
            logprobs=swept[:, place].tolist(),
            probabilities=swept[:, place].exp().tolist(),
        )
        for place, token_id in enumerate(plan.watch)
    ]
    return SweepCurve(model=live.name, raw=plan.request.swept(), tokens=tokens, seconds=perf_counter() - started)


def _first_predictions(plan: SweepPlan, values: Sequence[float], live: LiveModel) -> torch.Tensor:
    """Predict the watched tokens right after the prompt, `(1 + values, watched)`; the first row is without clamps."""
    columns = decode(
        live.model,
        plan.prompt,
        prepare_rows([_clamps_at(plan.request, value) for value in values], live.sites),
        rows=1 + len(values),
        positions=plan.request.positions,
        sampler=Sampler(),
        max_new_tokens=1,
    )
    with closing(columns):
        column = next(column for column in columns if column is not None)
    return column.logprobs[:, plan.watch]


def _clamps_at(request: SweepRequest, value: float) -> list[Clamp]:
    """The request's clamps, with the swept clamp at a value."""
    return [
        clamp.model_copy(update={"value": value}) if place == request.clamp else clamp
        for place, clamp in enumerate(request.clamps)
    ]
