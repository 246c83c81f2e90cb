"""Everything that needs torch: map neurons into label files, measure them, and clamp them live."""

import os

from worker.machine.memory import keep_little_memory

# Libraries draw progress bars of their own when they load a model; only that of `mapping.progress` is wanted.
os.environ.setdefault("TQDM_DISABLE", "1")

keep_little_memory()  # before any library is imported: a thread that a library has started keeps its heap
