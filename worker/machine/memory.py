"""What this process frees and the C library keeps: as little as possible.

Knows the heap; knows nothing of what is on it.
"""

import ctypes
import gc
import os

LARGE, KEPT = 2**22, 2**26  # bytes of a block that gets its own pages; free bytes at the heap's end that stay
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h


def save() -> None:
    """Have the C library keep little of what this process frees; to be called before a library is imported.

    One heap for all threads (each would keep what it once needed), Arrow's too. Large blocks get pages of their own: in
    a heap, small ones are cut from a large one that was freed, and the next large one does not fit there any more.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if set_option:
        for option, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, KEPT)):
            set_option(option, value)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def give_back() -> None:
    """Hand freed memory back to the system, where the C library can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
