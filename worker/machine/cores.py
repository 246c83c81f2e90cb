"""Run work on independent blocks of rows on all cores, one thread a block.

Torch's own threads wait for each other after every operation: that costs little while they have the cores to
themselves, and most of the time when another program takes a core. Threads that share only what they read never wait.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

MOST_ROWS = 512  # in a block; with more no product is faster
FEWEST_ROWS = 256  # in a block; fewer are slower, and only for machines that lack the memory
FEWEST_DIVIDED = 32  # fewer rows are not divided among cores
SCORES = 2**24  # that a core keeps at a time (64 MB), unless that is fewer than FEWEST_ROWS rows of scores
SCORES_DIVISOR = 16  # scores may take the machine's memory divided by this
MOST_ON_DEVICE = 4096  # rows in a block on a GPU
DEVICE_SCORES_DIVISOR = 8  # scores may take the GPU's memory divided by this

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def cores() -> int:
    """The number of threads that torch may use."""
    return torch.get_num_threads()


@contextmanager
def one_core() -> Iterator[None]:
    """Run the caller's torch operations on one core, as each block of rows is run."""
    threads_before = cores()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)


def rows_at_once(vocab: int) -> int:
    """The most rows of a block when a score of each row for each of `vocab` tokens is kept."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    rows_in_memory = memory // SCORES_DIVISOR // cores() // (4 * vocab)
    return max(1, min(rows_in_memory, MOST_ROWS, max(FEWEST_ROWS, SCORES // vocab)))


def blocks(rows: Tensor, most: int) -> list[Tensor]:
    """Divide `rows` into blocks of at most `most`, as many as keep every core busy to the end."""
    rounds = -(-len(rows) // (most * cores()))
    size = max(1, -(-len(rows) // max(1, rounds * cores())))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def in_blocks(work: Callable[[Tensor], Result], rows: Tensor, vocab: int) -> list[Result]:
    """Do `work` on `rows` block by block; a block keeps a score of each row for each of `vocab` tokens.

    On the CPU the blocks are spread over all cores, unless the rows are so few that reading the head is most of the
    work. On another device the blocks follow each other.
    """
    if rows.device.type == "cpu":
        if len(rows) < FEWEST_DIVIDED:
            return [work(rows)]
        return on_all_cores(work, blocks(rows, rows_at_once(vocab)))
    rows_in_memory = torch.cuda.get_device_properties(rows.device).total_memory // DEVICE_SCORES_DIVISOR // (4 * vocab)
    return [work(block) for block in rows.split(max(1, min(rows_in_memory, MOST_ON_DEVICE)))]  # type: ignore[no-untyped-call]


def on_all_cores(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """Do `work` on every piece on all cores; return the results in the pieces' order, or raise the first error."""
    threads = min(cores(), len(pieces))
    if threads < 2:
        return [work(piece) for piece in pieces]
    threads_before = cores()
    try:
        with ThreadPoolExecutor(threads, "core", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(work, pieces))
    finally:
        torch.set_num_threads(threads_before)  # a new thread starts with the number that was set last, whoever set it
