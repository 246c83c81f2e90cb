"""Answers of a model under many settings at once, and how readable each is to the unclamped model.

One prompt, one batch: a row a setting, the first row without clamps. A text is judged by the unclamped model's mean
log-probability of its tokens and by how much it repeats. Knows ids; what an answer is about is the caller's business.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import torch

from neuronym.contract import Clamp, Message
from worker.steering.clamp import prepare_rows
from worker.steering.engine import Positions, Sampler, decode
from worker.steering.models import LiveModel
from worker.steering.repetition import repeated_share


@dataclass(frozen=True)
class ClampSetting:
    """Clamps that are tried together."""

    name: str
    clamps: tuple[Clamp, ...]


@dataclass(frozen=True)
class AnswerText:
    """One answer. `logprob` is the mean of its tokens' log-probabilities under the unclamped model, in nats."""

    text: str
    logprob: float
    repeated: float


def question_ids(live: LiveModel, text: str, begun: str = "") -> list[int]:
    """Encode a question and the begun answer; as plain text for a model without a chat template."""
    try:
        prompt = live.codec.chat([Message(role="user", content=text)])
    except ValueError:
        prompt = live.codec.prompt(f"Question: {text}\nAnswer:")
    return prompt + live.codec.plain(begun)


def generate_answers(
    live: LiveModel, prompt: list[int], settings: Sequence[ClampSetting], positions: Positions, length: int
) -> list[AnswerText]:
    """Generate the greedy answer without clamps, then one a setting, of at most `length` tokens."""
    rows = len(settings) + 1
    texts: list[list[int]] = [[] for _ in range(rows)]
    ended = [False] * rows
    columns = decode(
        live.model,
        prompt,
        prepare_rows([setting.clamps for setting in settings], live.sites),
        rows=rows,
        positions=positions,
        sampler=Sampler(),
        max_new_tokens=length,
    )
    with closing(columns):
        for column in columns:
            if column is None:
                continue
            for row, token_id in enumerate(column.token_ids):
                ended[row] = ended[row] or token_id in live.stop
                if not ended[row]:
                    texts[row].append(token_id)
            if all(ended):
                break
    scores = mean_logprobs(live, prompt, texts)
    return [
        AnswerText(_text(live, prompt, ids), score, repeated_share(ids))
        for ids, score in zip(texts, scores, strict=True)
    ]


@torch.inference_mode()
def mean_logprobs(live: LiveModel, prompt: list[int], texts: Sequence[Sequence[int]]) -> list[float]:
    """Compute the mean log-probability of each text's tokens without clamps, in nats; minus infinity if it is empty."""
    longest = max(map(len, texts))
    padded = [
        [*prompt, *ids, *[prompt[0]] * (longest - len(ids))] for ids in texts
    ]  # on the right: attention is causal
    tokens = torch.tensor(padded, device=live.model.device)
    logits = live.model(tokens, logits_to_keep=longest + 1).logits[:, :-1].float()  # (rows, longest, vocab)
    logprobs = logits.log_softmax(-1).gather(-1, tokens[:, len(prompt) :, None])[..., 0]  # (rows, longest)
    return [float(row[: len(ids)].mean()) if ids else float("-inf") for row, ids in zip(logprobs, texts, strict=True)]


def _text(live: LiveModel, prompt: list[int], ids: Sequence[int]) -> str:
    stream = live.codec.stream(prompt)
    return "".join(stream.add(token_id) for token_id in ids)
