"""The aims of a fit: answers that name a concept and go on as the model itself does after naming it.

Each is a question, the beginning of an answer that ends in the concept, and the unclamped model's own continuation, so
that the aims are texts that the model finds likely. Knows ids; knows nothing of neurons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.steer_test.answers import generate_answers, question_ids
from worker.steer_test.prompts import Lead
from worker.steering.models import LiveModel

BEGINNING, CONCEPT, REST = 1.0, 10.0, 0.5  # weights of an answer's tokens: before the concept, its last, after it
BEGINNINGS = 3  # of each question


@dataclass(frozen=True)
class Target:
    """Ids of a prompt and of its answer; the first `leading` ids of the answer run to the end of the concept."""

    prompt: list[int]
    answer: list[int]
    leading: int


@dataclass(frozen=True)
class Batch:
    """Targets as rows, padded on the right: `(targets, positions)` each."""

    tokens: Tensor
    generated: Tensor  # 1 where the next token belongs to the answer: where clamps hold
    weights: Tensor  # of the next token


def build_targets(
    live: LiveModel, word: str, questions: Sequence[str], leads: Sequence[Lead], length: int
) -> list[Target]:
    """Build targets from every question with some leads; the model writes `length` tokens after the concept."""
    built = []
    for place, text in enumerate(questions):
        prompt = question_ids(live, text)
        for beginning in range(min(BEGINNINGS, len(leads))):
            opening = leads[(BEGINNINGS * place + beginning) % len(leads)].answer
            ids = question_ids(live, text, f"{opening} {word}")
            rest = generate_answers(live, ids, [], "all", length)[0]
            leading = ids[len(prompt) :]
            built.append(Target(prompt, leading + live.codec.plain(rest.text), len(leading)))
    return built


def pad_targets(
    batch_targets: Sequence[Target], weights: tuple[float, float, float] = (BEGINNING, CONCEPT, REST)
) -> Batch:
    """Pad targets to one batch; `weights` are of tokens before the concept, its last token, and tokens after it."""
    longest = max(len(target.prompt) + len(target.answer) for target in batch_targets)
    tokens = torch.zeros(len(batch_targets), longest, dtype=torch.long)
    generated, weighted = torch.zeros(len(batch_targets), longest), torch.zeros(len(batch_targets), longest)
    for row, target in enumerate(batch_targets):
        ids, first = target.prompt + target.answer, len(target.prompt) - 1
        last = first + target.leading - 1  # predicts the concept's last token
        tokens[row, : len(ids)] = torch.tensor(ids)
        generated[row, first : len(ids) - 1] = 1
        weighted[row, first:last] = weights[0]
        weighted[row, last] = weights[1]
        weighted[row, last + 1 : len(ids) - 1] = weights[2]
    return Batch(tokens, generated, weighted)
