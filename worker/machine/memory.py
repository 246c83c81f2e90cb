"""Have the C library return freed memory to the system instead of keeping it.

Knows the heap; knows nothing of what is on it.
"""

import ctypes
import gc
import os

LARGE_BLOCK = 2**22  # bytes from which a block gets pages of its own
KEPT_BYTES = 2**26  # free bytes that stay at the heap's end
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # options of mallopt, from malloc.h


def keep_little_memory() -> None:
    """Have the C library keep little of what this process frees; call this before importing libraries.

    All threads, and Arrow, share one heap, since each heap keeps what it once needed. Large blocks get pages of their
    own: in a heap, small blocks are cut from a large one that was freed, and the next large one no longer fits.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if set_option:
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, LARGE_BLOCK), (_TRIM_THRESHOLD, KEPT_BYTES)):
            set_option(option, value)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def return_memory() -> None:
    """Return freed memory to the system, if the C library can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
