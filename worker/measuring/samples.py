"""Text to measure neurons on: text that the model writes itself, from its first token and in chats, or a file.

Half of the model's own samples begin with nothing, half with a user's turn that the model writes before it answers.
Positions that are not text (the first, the template's, special tokens, padding) are read and not counted. Knows
tokens and the model's predictions; knows nothing of neurons.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerFast

from worker.errors import CheckpointError
from worker.machine.cores import one_core
from worker.steering.engine import SMALL

POSITIONS = 4096  # that are counted
LENGTH = 128  # tokens of a window, and tokens of a sample
ROWS = 20  # samples at a time
ROUNDS = 16  # at most: a model may end its texts at once
LIKELIEST = 50  # tokens to choose from at each step, at temperature 1; from all of them small models drift into noise
SETTINGS = {"positions": POSITIONS, "length": LENGTH, "rows": ROWS, "likeliest": LIKELIEST}  # recorded with a result
_CONTENT = "a user's words"


@dataclass(frozen=True)
class TextWindows:
    """Windows of token ids, padded on the right, and which of their positions are counted: `(windows, length)`."""

    ids: Tensor
    counted: Tensor

    @property
    def positions(self) -> int:
        """The number of counted positions."""
        return int(self.counted.sum())


def read_text(path: Path, tokenizer: PreTrainedTokenizerFast) -> TextWindows:
    """Read a file into windows, evenly spread over it if it is long.

    Raises:
        CheckpointError: the file cannot be read, or is too short to measure on.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as UTF-8 text: {error}") from error
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    bos = tokenizer.bos_token_id
    first = [] if bos is None else [bos]
    size = LENGTH - len(first)
    windows = [first + ids[start : start + size] for start in range(0, len(ids), size)]
    count = -(-POSITIONS // LENGTH)
    spread = [windows[place * len(windows) // count] for place in range(count)] if len(windows) > count else windows
    windowed = _pad(spread, [[False] + [True] * (len(window) - 1) for window in spread])
    if windowed.positions < LENGTH:
        raise CheckpointError(f"{path} holds {len(ids)} tokens. Give a text of a few thousand, at least {LENGTH}.")
    return windowed


def write_text(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> TextWindows:
    """Sample text from the model; the same seed gives the same text."""
    starts = [start for start in (_plain_start(tokenizer), _chat_start(tokenizer)) if start]
    generator = torch.Generator().manual_seed(seed)
    special = {id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special}
    rows: list[list[int]] = []
    counted: list[list[bool]] = []
    for start in (starts[place % len(starts)] for place in range(ROUNDS)):
        for ids, sampled in _sample(model, start, generator):
            rows.append(ids)
            counted.append([by_model and id_ not in special for id_, by_model in zip(ids, sampled, strict=True)])
        if sum(map(sum, counted)) >= POSITIONS:
            break
    return _pad(rows, counted)


@dataclass(frozen=True)
class _Start:
    """How a sample begins: `ids`, and the template's `turn` that follows once the model writes its first token."""

    ids: list[int]
    turn: list[int]
    ends: frozenset[int]


def _plain_start(tokenizer: PreTrainedTokenizerFast) -> _Start:
    begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    ids = tokenizer.encode("The", add_special_tokens=False) if begin is None else [begin]
    return _Start(ids, [], _ends(tokenizer, []))


def _chat_start(tokenizer: PreTrainedTokenizerFast) -> _Start | None:
    """Begin a chat up to the user's words; the template's text after them is the turn. None without a template."""
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": _CONTENT}]
    whole = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    before, _, after = whole.partition(_CONTENT)
    ids, turn = (tokenizer.encode(part, add_special_tokens=False) for part in (before, after))
    return _Start(ids, turn, _ends(tokenizer, turn)) if ids else None


def _ends(tokenizer: PreTrainedTokenizerFast, turn: Sequence[int]) -> frozenset[int]:
    return frozenset({tokenizer.eos_token_id, *turn[:1]} - {None})


@torch.inference_mode()
def _sample(model: PreTrainedModel, start: _Start, generator: torch.Generator) -> list[tuple[list[int], list[bool]]]:
    """Sample rows of ids, each with flags: True where the model chose the id, False where the template did."""
    rows = [_GrowingSample(start) for _ in range(ROWS)]
    cache = DynamicCache(config=model.config)
    tokens = torch.tensor([start.ids], device=model.device)
    for _ in range(LENGTH):
        with one_core() if model.num_parameters() < SMALL else nullcontext():
            logits = model(tokens, cache=cache, use_cache=True, logits_to_keep=1).logits[:, -1].float().cpu()
        if len(tokens) < ROWS:  # the start was read once for all
            cache.batch_repeat_interleave(ROWS)
            logits = logits.expand(ROWS, -1)
        best = logits.topk(min(LIKELIEST, logits.shape[-1]))
        waits = torch.empty(best.values.shape).exponential_(generator=generator)
        drawn = (best.values - waits.log()).argmax(-1, keepdim=True)  # -log of an exponential is Gumbel noise
        chosen = best.indices.gather(-1, drawn)[:, 0].tolist()
        tokens = torch.tensor([[row.take(id_)] for row, id_ in zip(rows, chosen, strict=True)], device=model.device)
        if all(row.ended for row in rows):
            break
    return [(row.ids, row.sampled) for row in rows]


class _GrowingSample:
    """One sample as it grows."""

    def __init__(self, start: _Start) -> None:
        self.ids = list(start.ids)
        self.sampled = [False] * len(start.ids)
        self.ended = False
        self._turn, self._ends = list(start.turn), start.ends
        self._due: list[int] = []  # tokens of the template still to be added

    def take(self, chosen: int) -> int:
        """Add the next token and return it: the chosen one, unless the template comes first."""
        if self.ended:
            return chosen
        due = bool(self._due)
        token = self._due.pop(0) if due else chosen
        self.ids.append(token)
        self.sampled.append(not due)
        if not due and token == next(iter(self._turn), None):
            self._due, self._turn = self._turn[1:], []
        elif not due:
            self.ended = token in self._ends
        return token


def _pad(rows: Sequence[Sequence[int]], counted: Sequence[Sequence[bool]]) -> TextWindows:
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    counted_mask = torch.zeros(len(rows), longest, dtype=torch.bool)
    for place, (row, flags) in enumerate(zip(rows, counted, strict=True)):
        ids[place, : len(row)] = torch.tensor(row)
        counted_mask[place, : len(row)] = torch.tensor(flags)
    return TextWindows(ids, counted_mask)
