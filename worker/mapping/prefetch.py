"""The next rows are read, and brought to where they are used, while these are worked on.

Knows nothing of what is read.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from worker.machine.cores import cores

Key = TypeVar("Key")
Read = TypeVar("Read")


def prefetched(read: Callable[[Key], Read], keys: Sequence[Key]) -> Iterator[Read]:
    """What `read` gives for each key, in order; the one after it is being read meanwhile, on one thread.

    Two are in memory at most, if the caller lets go of one before it asks for the next. An error in `read` is raised
    where its turn comes; closing the iterator waits for the read that is under way, and begins no other.
    """
    threads = cores()
    with ThreadPoolExecutor(1, "read", torch.set_num_threads, (1,)) as pool:
        coming: list[Future[Read]] = []
        for place, key in enumerate(keys):
            found = (coming.pop() if coming else pool.submit(read, key)).result()
            coming = [pool.submit(read, after) for after in keys[place + 1 : place + 2]]
            torch.set_num_threads(threads)  # a new thread starts with the number that was set last, whoever set it
            yield found
            del found


def moved(rows: Tensor, device: torch.device) -> Tensor:
    """A copy on the device, made beside what the device is doing; `rows` themselves if they are there already.

    For the thread that reads ahead: the copy is there when this returns, and other threads may use it at once.
    """
    if device.type != "cuda":
        return rows.to(device)
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(beside):
        there = rows.pin_memory().to(device, non_blocking=True)
    beside.synchronize()
    there.record_stream(torch.cuda.default_stream(device))  # memory is kept until it is through
    return there
