"""The one thread that owns the models, and the handling of faults on it.

The process survives running out of memory: it frees the memory, and the client is told to try again. A broken CUDA
context cannot be repaired in a process, so the process ends and its supervisor starts a new one.
"""

import asyncio
import gc
import logging
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar, TypeVarTuple

import torch

log = logging.getLogger(__name__)
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class OutOfMemory(RuntimeError):
    """The worker ran out of memory on this request, and has recovered."""

    retry_after = 5

    def __init__(self) -> None:
        super().__init__("The worker ran out of memory. Ask for a shorter run, or try again in a moment.")


class ModelThread:
    """Calls functions on one thread, one after another, and `recover` after running out of memory."""

    def __init__(self, threads: int | None, recover: Callable[[], None]) -> None:
        start = partial(torch.set_num_threads, threads) if threads else None
        self._executor = ThreadPoolExecutor(1, "model", initializer=start)
        self._recover = recover

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function on the thread.

        Raises:
            OutOfMemory: memory ran out. Other errors of the function are raised as they are.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._guarded, function, *arguments)

    def close(self, generator: Generator[T, None, None]) -> None:
        """Close a generator on the thread, after its current step, without waiting."""
        self._executor.submit(generator.close)

    def shut_down(self) -> None:
        """End the thread after its current step."""
        self._executor.shutdown(cancel_futures=True)

    def _guarded(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        try:
            return function(*arguments)
        except Exception as error:
            if is_broken(error):
                log.critical("The device is in a state that only a new process can leave.", exc_info=error)
                logging.shutdown()
                os._exit(70)  # EX_SOFTWARE; a supervisor starts a new worker
            if not is_out_of_memory(error):
                raise
            log.warning("Out of memory: %s", error)
        # After the except block, because the error's frames hold the tensors that are to be freed.
        self._recover()
        free_memory()
        raise OutOfMemory


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device or the host ran out of memory, also when another error wraps that one."""
    if isinstance(error.__cause__, Exception) and is_out_of_memory(error.__cause__):
        return True
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and ("out of memory" in str(error) or "can't allocate memory" in str(error))


def is_broken(error: Exception) -> bool:
    """Whether the accelerator failed in a way that only a new process can repair."""
    return not is_out_of_memory(error) and (isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error))


def free_memory() -> None:
    """Return the memory of unreachable tensors to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
