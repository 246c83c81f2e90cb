"""How many tokens the playground's input comes to, as the model reads it, and how many it can hold.

Says nothing where nobody knows: the worker is away or has not loaded the model, or the chat template refuses the chat.
"""

from typing import NamedTuple

from app.errors import Problem
from app.labelfile.label_file import LabelFile
from app.pages.playground.requests import to_tokenize
from app.pages.playground.state import Composition
from app.steering.clamp import Steering, tokenize


class Count(NamedTuple):
    """Tokens of the input, of those the model can hold, and new ones asked for."""

    tokens: int
    context: int
    new: int

    @property
    def over(self) -> bool:
        """Whether they are too many."""
        return self.tokens + self.new > self.context


async def counted(labels: LabelFile, worker: Steering, composition: Composition) -> Count | None:
    """The count, or None where nobody knows."""
    if composition.model not in labels.models:
        return None
    try:
        answer = await tokenize(worker, to_tokenize(composition))
    except Problem:
        return None
    new = composition.knobs["max_new_tokens"]
    return Count(len(answer.tokens), answer.context, int(new) if new.isdecimal() else 0)
