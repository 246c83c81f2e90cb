"""Writing the counterparts file of a pair: the rows of its table `drift` in records of one size.

The format is that of `neuronym.label_tables.counterparts`.
"""

import os
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from neuronym.label_tables import HEADER, MAGIC, NAMED, NO_TOKEN

FIELDS = np.dtype(
    [("cosine", "<f4"), ("same_top", "?"), ("near_tie", "?"), ("unused", "V2"), ("tokens", "<i4", 2 * NAMED)]
)
AT_ONCE = 65_536  # records
_TOKENS = [f"{side}_{place}" for side in ("base", "instruct") for place in range(NAMED)]
_ROWS = f"""
    SELECT cosine, same_top, near_tie, {", ".join(f"coalesce({name}, {NO_TOKEN}) AS {name}" for name in _TOKENS)}
    FROM drift ORDER BY rowid"""


def write_counterparts(connection: sa.Connection, path: Path) -> None:
    """Write the counterparts file of the pair whose label file is open.

    Raises:
        OSError: the disk is full.
    """
    count = connection.scalar(sa.text("SELECT count(*) FROM drift"))
    with path.open("wb") as file:
        file.write(HEADER.pack(MAGIC, count))
        for batch in connection.execute(sa.text(_ROWS)).cursor.to_arrow_reader(AT_ONCE):
            records = np.zeros(batch.num_rows, FIELDS)
            for name in ("cosine", "same_top", "near_tie"):
                records[name] = batch[name].to_numpy(zero_copy_only=False)
            records["tokens"] = np.stack([batch[name].to_numpy() for name in _TOKENS], axis=1)
            file.write(records.tobytes())
        file.flush()
        os.fsync(file.fileno())
