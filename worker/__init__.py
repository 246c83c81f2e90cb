"""Everything that needs torch: maps neurons into label files, measures them, and clamps them live."""

import os

from worker.machine.memory import save

# The libraries below draw progress bars of their own when they load a model; we want only that of `mapping.progress`.
os.environ.setdefault("TQDM_DISABLE", "1")

save()  # here, because the threads that a library starts when it is imported each keep a heap from then on
