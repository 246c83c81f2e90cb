"""Answers that name a concept, as the model itself goes on once it has named it: the aim of a fit.

Each is a question, the beginning of an answer that ends in the concept, and the unclamped model's own continuation, so
that what is aimed at is text the model finds likely. Knows ids; knows nothing of neurons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.steer_test.answers import answers, question
from worker.steer_test.prompts import Lead
from worker.steering.models import Live

BEGINNING, CONCEPT, REST = 1.0, 10.0, 0.5  # weights of an answer's tokens: before the concept, its last, after it
BEGINNINGS = 3  # of each question


@dataclass(frozen=True)
class Target:
    """A prompt's ids, the answer's, and how many of the answer's lead up to the concept, its own included."""

    prompt: list[int]
    answer: list[int]
    leading: int


@dataclass(frozen=True)
class Batch:
    """Targets side by side, padded on the right: `(targets, positions)` each."""

    tokens: Tensor
    generated: Tensor  # 1 where the next token is the answer's: where clamps hold
    weights: Tensor  # of the token that comes next


def targets(live: Live, word: str, questions: Sequence[str], leads: Sequence[Lead], length: int) -> list[Target]:
    """Every question with some beginnings; `length` tokens of the model's own after the concept."""
    found = []
    for at, text in enumerate(questions):
        prompt = question(live, text)
        for beginning in range(min(BEGINNINGS, len(leads))):
            begun = leads[(BEGINNINGS * at + beginning) % len(leads)].answer
            ids = question(live, text, f"{begun} {word}")
            rest = answers(live, ids, [], "all", length)[0]
            leading = ids[len(prompt) :]
            found.append(Target(prompt, leading + live.codec.plain(rest.text), len(leading)))
    return found


def side_by_side(chosen: Sequence[Target], weights: tuple[float, float, float] = (BEGINNING, CONCEPT, REST)) -> Batch:
    """Targets as one batch, their tokens weighted as before the concept, its last, and after it."""
    longest = max(len(one.prompt) + len(one.answer) for one in chosen)
    tokens = torch.zeros(len(chosen), longest, dtype=torch.long)
    generated, weighted = torch.zeros(len(chosen), longest), torch.zeros(len(chosen), longest)
    for row, one in enumerate(chosen):
        ids, first = one.prompt + one.answer, len(one.prompt) - 1
        last = first + one.leading - 1  # predicts the concept's last token
        tokens[row, : len(ids)] = torch.tensor(ids)
        generated[row, first : len(ids) - 1] = 1
        weighted[row, first:last] = weights[0]
        weighted[row, last] = weights[1]
        weighted[row, last + 1 : len(ids) - 1] = weights[2]
    return Batch(tokens, generated, weighted)
