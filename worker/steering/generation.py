"""A clamp request on one live model: the request is checked, then run as events, one step at a time.

Knows the contract and the decode loop; knows nothing of threads, queues or HTTP.
"""

import math
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import torch

from neuronym.contract import (
    ClampDone,
    ClampEnd,
    ClampEvent,
    ClampRequest,
    ClampResult,
    ClampStart,
    ClampToken,
    GeneratedText,
    GeneratedToken,
    SweepRequest,
    TopToken,
    Watched,
)
from worker.errors import RequestError
from worker.steering.clamp import prepare
from worker.steering.codec import TextStream
from worker.steering.engine import Column, Sampler, decode
from worker.steering.models import LiveModel
from worker.steering.repetition import repeated_share

RunName = Literal["baseline", "clamped"]


@dataclass(frozen=True)
class ClampPlan:
    """A clamp request that its model can run. Holds no weights, so the model may be unloaded while the plan waits."""

    request: ClampRequest
    prompt: list[int]
    watch: list[int]

    @property
    def runs(self) -> list[RunName]:
        """The names of the rows of the batch; clamps touch the last row."""
        return ["baseline", "clamped"] if self.request.baseline else ["clamped"]


def plan_clamp(request: ClampRequest, live: LiveModel) -> ClampPlan:
    """Check a clamp request against a model.

    Raises:
        RequestError: the model cannot run the request; the message names the field and what is allowed.
    """
    if request.unit != "raw":
        raise RequestError("unit: the worker takes raw values only; ranges are in the label file.")
    live.sites.check(request.clamps)
    prompt = read_prompt(request, live, room=request.max_new_tokens)
    return ClampPlan(request, prompt, [live.codec.find(token) for token in request.watch])


def read_prompt(request: ClampRequest | SweepRequest, live: LiveModel, room: int) -> list[int]:
    """Encode a request's prompt or chat; check that the context has `room` for new tokens.

    Raises:
        RequestError: the prompt does not fit, or has a token without an embedding.
    """
    prompt = live.codec.chat(request.messages) if request.messages else live.codec.prompt(request.prompt or "")
    if len(prompt) + room > live.context:
        raise RequestError(
            f"prompt: its {len(prompt)} tokens and {room} new ones are more than this model's "
            f"context of {live.context}. Shorten the prompt or lower max_new_tokens."
        )
    if max(prompt) >= live.vocab:
        raise RequestError(f"prompt: token {max(prompt)} has no embedding in this model of {live.vocab} rows.")
    return prompt


def generate(plan: ClampPlan, live: LiveModel) -> Generator[list[ClampEvent], None, None]:
    """Yield the events of a run, a list a step, empty while the prompt is read. Closing the generator cancels it."""
    request, started = plan.request, perf_counter()
    yield [ClampStart(model=live.name, seed=request.seed, prompt_tokens=plan.prompt)]
    runs = [_RowText(name, plan, live) for name in plan.runs]
    watched: list[Watched] | None = None
    columns = decode(
        live.model,
        plan.prompt,
        prepare(request.clamps, live.sites),
        rows=len(runs),
        positions=request.positions,
        sampler=Sampler(request.temperature, request.top_p, request.seed),
        max_new_tokens=request.max_new_tokens,
    )
    with closing(columns):
        for column in columns:
            if column is None:
                yield []
                continue
            if watched is None:
                watched = _watched_tokens(plan.watch, column.logprobs, live)
            yield [event for row, run in enumerate(runs) for event in run.take(column, row)]
            if all(run.ended for run in runs):
                break
    yield [ClampEnd(watch=watched or [], seed=request.seed, model=live.name, seconds=perf_counter() - started)]


def collect(events: Iterable[ClampEvent]) -> ClampResult:
    """Collect the events of a run into its result."""
    tokens: dict[RunName, list[GeneratedToken]] = {}
    runs: dict[RunName, GeneratedText] = {}
    for event in events:
        match event:
            case ClampToken():
                token = GeneratedToken(token_id=event.token_id, text=event.text, logprob=event.logprob, top=event.top)
                tokens.setdefault(event.run, []).append(token)
            case ClampDone():
                reason = event.finish_reason
                runs[event.run] = GeneratedText(
                    text=event.text, tokens=tokens[event.run], finish_reason=reason, repeated=event.repeated
                )
            case ClampEnd():
                end = event
    return ClampResult(runs=runs, watch=end.watch, seed=end.seed, model=end.model, seconds=end.seconds)


@dataclass
class _RowText:
    """The text of one row of the batch as it grows."""

    name: RunName
    plan: ClampPlan
    live: LiveModel
    stream: TextStream = field(init=False)
    text: str = ""
    ids: list[int] = field(default_factory=list)
    ended: bool = False

    def __post_init__(self) -> None:
        self.stream = self.live.codec.stream(self.plan.prompt)

    def take(self, column: Column, row: int) -> list[ClampEvent]:
        """Take this row's token from a column; return its events, none once the row has ended."""
        if self.ended:
            return []
        token_id, logprobs = column.token_ids[row], column.logprobs[row]
        logprob = float(logprobs[token_id])
        if not math.isfinite(logprob):
            raise RequestError(
                "clamps: these values drive the model beyond what its numbers can hold. Use smaller ones."
            )
        stopped = token_id in self.live.stop
        new = "" if stopped else self.stream.add(token_id)
        events: list[ClampEvent] = [
            ClampToken(
                run=self.name,
                index=len(self.ids),
                token_id=token_id,
                text=new,
                logprob=logprob,
                top=self._top(logprobs),
            )
        ]
        self.text += new
        self.ids.append(token_id)
        if stopped or len(self.ids) == self.plan.request.max_new_tokens:
            self.ended = True
            reason: Literal["stop", "length"] = "stop" if stopped else "length"
            events.append(
                ClampDone(run=self.name, text=self.text, finish_reason=reason, repeated=repeated_share(self.ids))
            )
        return events

    def _top(self, logprobs: torch.Tensor) -> list[TopToken]:
        """The likeliest tokens, best first. `logprobs` is `(vocab,)`."""
        best = logprobs.topk(min(self.plan.request.top_logprobs, len(logprobs)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [TopToken(token_id=id_, text=self.live.codec.text(id_), logprob=value) for id_, value in pairs]


def _watched_tokens(token_ids: list[int], logprobs: torch.Tensor, live: LiveModel) -> list[Watched]:
    """The log-probabilities of the watched tokens in the first prediction, `(rows, vocab)`."""
    watched = []
    for token_id in token_ids:
        *baseline, clamped = logprobs[:, token_id].tolist()
        watched.append(
            Watched(
                token_id=token_id,
                token=live.codec.text(token_id),
                baseline=baseline[0] if baseline else None,
                clamped=clamped,
                delta=clamped - baseline[0] if baseline else None,
            )
        )
    return watched
