"""Independent blocks of rows on all cores, one thread each.

Torch's own threads wait for each other after every operation: little is lost while they have the cores to themselves,
and most of the time when another program takes one. Threads that share nothing but what they read need not wait.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

MOST_ROWS = 512  # more rows at a time make no product faster
FEWEST_ROWS = 256  # fewer make it slower, and are for machines that lack the memory
FEW = 32  # fewer rows are not divided
SCORES = 2**24  # scores a core keeps at a time, where that is no less than FEWEST_ROWS: 64 MB
SHARE = 16  # of the machine's memory, one part in so many is for scores
MOST_ON_DEVICE = 4096  # rows at a time on a GPU, and
SHARE_OF_DEVICE = 8  # the part of its memory that is for their scores

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def cores() -> int:
    """Threads that torch may use."""
    return torch.get_num_threads()


@contextmanager
def one_core() -> Iterator[None]:
    """The caller's operations on one core: what a block of rows has to itself."""
    before = cores()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rows_at_once(vocab: int) -> int:
    """Rows of a block at most, when a score for each of them and every token is kept."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    possible = memory // SHARE // cores() // (4 * vocab)
    return max(1, min(possible, MOST_ROWS, max(FEWEST_ROWS, SCORES // vocab)))


def blocks(rows: Tensor, most: int) -> list[Tensor]:
    """`rows` in blocks of `most` at most, in a number that keeps every core busy to the end."""
    rounds = -(-len(rows) // (most * cores()))
    size = max(1, -(-len(rows) // max(1, rounds * cores())))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def in_blocks(work: Callable[[Tensor], Result], rows: Tensor, vocab: int) -> list[Result]:
    """`work` on `rows` block by block, when a score for each of them and every token is kept.

    Blocks go over all cores where rows are on the CPU, but for so few rows that reading the head for them is most of
    the work. On another device they follow each other.
    """
    if rows.device.type == "cpu":
        if len(rows) < FEW:
            return [work(rows)]
        return on_all_cores(work, blocks(rows, rows_at_once(vocab)))
    possible = torch.cuda.get_device_properties(rows.device).total_memory // SHARE_OF_DEVICE // (4 * vocab)
    return [work(block) for block in rows.split(max(1, min(possible, MOST_ON_DEVICE)))]  # type: ignore[no-untyped-call]


def on_all_cores(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """`work` on every piece, results in the pieces' order; the first error is raised."""
    threads = min(cores(), len(pieces))
    if threads < 2:
        return [work(piece) for piece in pieces]
    before = cores()
    try:
        with ThreadPoolExecutor(threads, "core", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(work, pieces))
    finally:
        torch.set_num_threads(before)  # a new thread starts with the number that was set last, whoever set it
