"""Read the next rows, and copy them to the device that uses them, while the current ones are worked on.

Knows nothing of what is read.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from worker.machine.cores import cores

Key = TypeVar("Key")
Result = TypeVar("Result")


def prefetch(read: Callable[[Key], Result], keys: Sequence[Key]) -> Iterator[Result]:
    """Yield the result of `read` for each key, in order, while a thread reads the next one.

    At most two results are in memory, if the caller drops each before it takes the next. An error in `read` is raised
    at its key's turn; closing the iterator waits for the read that is under way, and begins no other.
    """
    threads = cores()
    with ThreadPoolExecutor(1, "read", torch.set_num_threads, (1,)) as pool:
        coming: list[Future[Result]] = []
        for place, key in enumerate(keys):
            result = (coming.pop() if coming else pool.submit(read, key)).result()
            coming = [pool.submit(read, next_key) for next_key in keys[place + 1 : place + 2]]
            torch.set_num_threads(threads)  # a new thread starts with the number that was set last, whoever set it
            yield result
            del result


def copy_to(rows: Tensor, device: torch.device) -> Tensor:
    """Copy `rows` to `device` while it goes on with other work; return `rows` themselves if they are on it.

    For the thread that reads ahead: the copy is complete on return, and other threads may use it at once.
    """
    if device.type != "cuda":
        return rows.to(device)
    copy_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(copy_stream):
        copy = rows.pin_memory().to(device, non_blocking=True)
    copy_stream.synchronize()
    copy.record_stream(torch.cuda.default_stream(device))  # so that its memory lasts until that stream is done
    return copy
