"""The number of tokens in the playground's input, as the model reads it, and the number the model can hold.

There is no count where the worker is away or has not loaded the model, or the chat template refuses the chat.

"""

from typing import NamedTuple

from app.errors import Problem
from app.labelfile.library import Library
from app.pages.playground.requests import to_tokenize
from app.pages.playground.state import Composition
from app.steering.clamp import Steering, tokenize


class TokenCount(NamedTuple):
    """The numbers of tokens in the input (`tokens`), in the context of the model, and to be generated (`new`)."""

    tokens: int
    context: int
    new: int

    @property
    def over(self) -> bool:
        """Whether the input and the new tokens exceed the context."""
        return self.tokens + self.new > self.context


async def count_tokens(labels: Library, worker: Steering, composition: Composition) -> TokenCount | None:
    """Count the tokens of the input; None if they cannot be counted."""
    if composition.model not in labels.models:
        return None
    try:
        answer = await tokenize(worker, to_tokenize(composition))
    except Problem:
        return None
    new = composition.knobs["max_new_tokens"]
    return TokenCount(len(answer.tokens), answer.context, int(new) if new.isdecimal() else 0)
